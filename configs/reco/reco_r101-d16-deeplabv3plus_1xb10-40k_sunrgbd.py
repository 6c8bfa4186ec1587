"""ReCo + supervised: all labels of SUN RGB-D, no teacher."""
_base_ = '../supervised/supervised_r101-d16-deeplabv3plus_1xb10-40k_sunrgbd.py'

# ---- frequently modified ----
loss_contrast = dict(
    type='RegionalContrastLoss', num_queries=256, num_keys=512)
embed_channels = 256

model = dict(
    decode_head=dict(
        _delete_=True,
        type='EmbeddingHead',
        head=_base_.model.decode_head,
        tap='fusion',
        embed_channels=embed_channels,
        loss_contrast=loss_contrast))
