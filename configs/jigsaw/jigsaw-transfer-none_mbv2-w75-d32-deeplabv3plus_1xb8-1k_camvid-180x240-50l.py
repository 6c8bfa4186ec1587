"""CamVid with 50 labels from random weights, the baseline."""
_base_ = './jigsaw-transfer-3x3_mbv2-w75-d32-deeplabv3plus_1xb8-1k_camvid-180x240-50l.py'
model = dict(transfer=dict(checkpoint=None))
