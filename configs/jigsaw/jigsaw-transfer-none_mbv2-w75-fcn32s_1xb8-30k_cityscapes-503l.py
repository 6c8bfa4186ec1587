"""Cityscapes with 503 labels from random weights, the baseline of Table 2."""
_base_ = './jigsaw-transfer-3x3_mbv2-w75-fcn32s_1xb8-30k_cityscapes-503l.py'
model = dict(transfer=dict(checkpoint=None))
