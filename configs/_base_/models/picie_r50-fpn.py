# PiCIE on ResNet-50 with the FPN decoder (256 channels), as FS4 uses it.
_base_ = './picie_r18-fpn.py'
model = dict(
    encoder=dict(
        backbone=dict(depth=50),
        neck=dict(in_channels=[256, 512, 1024, 2048], out_channels=256)),
    channels=256)
