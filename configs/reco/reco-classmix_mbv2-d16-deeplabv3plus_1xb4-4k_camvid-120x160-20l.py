"""ReCo + ClassMix: 20 labelled images, the others without labels."""
_base_ = ('../mean_teacher/mean-teacher-classmix_mbv2-d16-deeplabv3plus_'
          '1xb4-4k_camvid-120x160-20l.py')

# ---- frequently modified ----
# The paper's sizes are 256 queries, 512 keys and 256 channels. On a grid of
# 30x40 cells these smaller ones cost an eighth.
loss_contrast = dict(
    type='RegionalContrastLoss', num_queries=128, num_keys=256)
embed_channels = 128
weak_threshold = 0.7  # an unlabelled pixel joins the contrast from here on

model = dict(
    type='ReCo',
    segmentor=dict(
        decode_head=dict(
            _delete_=True,
            type='EmbeddingHead',
            head=_base_.model.segmentor.decode_head,
            tap='fusion',  # as in the paper
            embed_channels=embed_channels,
            hidden_channels=embed_channels)),
    loss_contrast=loss_contrast,
    weak_threshold=weak_threshold)
