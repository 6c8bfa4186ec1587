"""VOC 2012 on AlexNet from random weights, the baseline of Table 4."""
_base_ = './jigsaw-transfer-3x3_alexnet-fcn32s_1xb36-50k_voc12aug.py'
model = dict(transfer=dict(checkpoint=None))
