# DeepLabV3+ on MobileNetV2 of width 0.75; the blocks of the backbone come from
# a proxy task, whose wide last layer is left behind. All of it is mmseg's own,
# so a published model needs no other package. Output stride 32, because mmseg
# dilates the first block of a stage only: at stride 16, filters of the last
# stages would see another scale than in the proxy task.
_base_ = './fcn32s_mbv2-w75.py'
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        widen_factor=0.75,
        out_indices=(1, 6),
        norm_cfg=norm_cfg),
    decode_head=dict(
        _delete_=True,
        type='DepthwiseSeparableASPPHead',
        in_channels=240,
        in_index=1,
        channels=128,
        dilations=(1, 2, 3),
        c1_in_channels=24,
        c1_channels=24,
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(
            type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)))
