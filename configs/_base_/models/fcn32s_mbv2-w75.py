# FCN-32s on MobileNetV2 of width 0.75 whose last layer has 512 channels; the
# blocks of the backbone come from a proxy task.
# Set data_preprocessor.size, decode_head.num_classes and transfer.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='TransferEncoderDecoder',
    transfer=dict(checkpoint=None, freeze=[], random=[]),
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
    decode_head=dict(
        type='FCNHead',
        num_convs=0,
        concat_input=False,
        in_channels=512,
        in_index=-1,
        channels=512,
        dropout_ratio=0.1,
        align_corners=False,
        loss_decode=dict(
            type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
