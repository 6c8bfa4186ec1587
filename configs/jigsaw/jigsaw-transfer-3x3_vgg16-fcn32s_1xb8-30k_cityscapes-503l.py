"""Cityscapes with 503 labels, VGG-16 from 3x3 puzzles."""
_base_ = './jigsaw-transfer-3x3_mbv2-w75-fcn32s_1xb8-30k_cityscapes-503l.py'
proxy = 'work_dirs/jigsaw-3x3_vgg16_1xb36-50k_cityscapes/iter_30000.pth'
model = dict(
    transfer=dict(checkpoint=proxy),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VGG',
        depth=16,
        norm_cfg=_base_.norm_cfg))
