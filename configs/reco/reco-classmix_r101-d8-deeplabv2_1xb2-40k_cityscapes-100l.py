"""ReCo + ClassMix: 100 labelled images of Cityscapes."""
_base_ = ('../mean_teacher/mean-teacher-classmix_r101-d8-deeplabv2_'
          '1xb2-40k_cityscapes-100l.py')

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
            tap='classifier',
            embed_channels=embed_channels,
            # DeepLabV2's head has no norm of its own.
            norm_cfg=_base_.norm_cfg)),
    loss_contrast=loss_contrast,
    weak_threshold=weak_threshold)
