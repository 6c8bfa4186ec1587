"""ReCo + ClassMix: 50 labelled images of SUN RGB-D."""
_base_ = ('../mean_teacher/mean-teacher-classmix_r101-d16-deeplabv3plus_'
          '1xb5-40k_sunrgbd-50l.py')

# ---- frequently modified ----
loss_contrast = dict(
    type='RegionalContrastLoss', num_queries=256, num_keys=512)
embed_channels = 256
weak_threshold = 0.7  # an unlabelled pixel joins the contrast from here on

model = dict(
    type='ReCo',
    segmentor=dict(
        decode_head=dict(
            _delete_=True,
            type='EmbeddingHead',
            head=_base_.model.segmentor.decode_head,
            tap='fusion',
            embed_channels=embed_channels)),
    loss_contrast=loss_contrast,
    weak_threshold=weak_threshold)
