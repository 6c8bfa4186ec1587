"""3x3 puzzles on VGG-16 with batch norm."""
_base_ = './jigsaw-3x3_mbv2-w75_1xb36-50k_cityscapes.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VGG',
        depth=16,
        norm_cfg=_base_.norm_cfg),
    head=dict(in_channels=512))
