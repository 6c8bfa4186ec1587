"""3x3 puzzles on ResNet-50."""
_base_ = './jigsaw-3x3_mbv2-w75_1xb36-50k_cityscapes.py'
model = dict(
    backbone=dict(
        _delete_=True, type='ResNet', depth=50, norm_cfg=_base_.norm_cfg),
    head=dict(in_channels=2048))
