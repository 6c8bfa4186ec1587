"""Cityscapes with 503 labels from 5x5 puzzles with patches of 192 pixels."""
_base_ = './jigsaw-transfer-3x3_mbv2-w75-fcn32s_1xb8-30k_cityscapes-503l.py'
proxy = 'work_dirs/jigsaw-5x5-192_mbv2-w75_1xb13-50k_cityscapes/iter_30000.pth'
model = dict(transfer=dict(checkpoint=proxy))
