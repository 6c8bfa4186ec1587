"""ReCo + supervised: no teacher, no unlabelled images."""
_base_ = ('../supervised/'
          'supervised_mbv2-d16-deeplabv3plus_1xb8-2k_camvid-120x160-20l.py')

# ---- frequently modified ----
loss_contrast = dict(
    type='RegionalContrastLoss', num_queries=256, num_keys=512)

model = dict(
    decode_head=dict(
        _delete_=True,
        type='EmbeddingHead',
        head=_base_.model.decode_head,
        loss_contrast=loss_contrast))
