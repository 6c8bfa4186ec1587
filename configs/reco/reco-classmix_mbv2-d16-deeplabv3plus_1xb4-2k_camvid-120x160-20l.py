"""ReCo + ClassMix: 20 labelled images, the others without labels."""
_base_ = ('../mean_teacher/mean-teacher-classmix_mbv2-d16-deeplabv3plus_'
          '1xb4-2k_camvid-120x160-20l.py')

# ---- frequently modified ----
loss_contrast = dict(
    type='RegionalContrastLoss', num_queries=256, num_keys=512)
weak_threshold = 0.7  # an unlabelled pixel joins the contrast from here on

model = dict(
    type='ReCo',
    segmentor=dict(
        decode_head=dict(
            _delete_=True,
            type='EmbeddingHead',
            head=_base_.model.segmentor.decode_head)),
    loss_contrast=loss_contrast,
    weak_threshold=weak_threshold)
