"""MSRC-21 with 63 labels from random weights, the baseline."""
_base_ = './jigsaw-transfer-3x3_mbv2-w75-d32-deeplabv3plus_1xb8-2k_msrc21-63l.py'
model = dict(transfer=dict(checkpoint=None))
