# Jigsaw puzzles on MobileNetV2 of width 0.75 whose last layer has 512 channels.
# Set data_preprocessor.size and grid on top of it.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='JigsawFCN',
    grid=3,
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(
        type='MobileNetV2WithLast',
        widen_factor=0.75,
        last_channels=512,
        norm_cfg=norm_cfg),
    head=dict(
        type='PatchPositionHead', in_channels=512, hidden_channels=512))
