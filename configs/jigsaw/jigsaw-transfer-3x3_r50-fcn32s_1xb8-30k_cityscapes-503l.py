"""Cityscapes with 503 labels, ResNet-50 from 3x3 puzzles."""
_base_ = './jigsaw-transfer-3x3_mbv2-w75-fcn32s_1xb8-30k_cityscapes-503l.py'
proxy = 'work_dirs/jigsaw-3x3_r50_1xb36-50k_cityscapes/iter_30000.pth'
model = dict(
    transfer=dict(checkpoint=proxy),
    backbone=dict(
        _delete_=True, type='ResNet', depth=50, norm_cfg=_base_.norm_cfg),
    decode_head=dict(in_channels=2048, channels=2048))
