"""ReCo + supervised: no teacher, no unlabelled images."""
_base_ = ('../supervised/'
          'supervised_mbv2-d16-deeplabv3plus_1xb8-4k_camvid-120x160-20l.py')

# ---- frequently modified ----
# The paper's sizes are 256 queries, 512 keys and 256 channels. On a grid of
# 30x40 cells these smaller ones cost an eighth.
loss_contrast = dict(
    type='RegionalContrastLoss', num_queries=128, num_keys=256)
embed_channels = 128

model = dict(
    decode_head=dict(
        _delete_=True,
        type='EmbeddingHead',
        head=_base_.model.decode_head,
        tap='fusion',  # as in the paper
        embed_channels=embed_channels,
        hidden_channels=embed_channels,
        loss_contrast=loss_contrast))
