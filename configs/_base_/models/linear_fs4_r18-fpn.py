# A 1x1 convolution that learns classes on FS4's encoder, which is frozen.
_base_ = './linear_picie_r18-fpn.py'
model = dict(
    backbone=dict(encoder=dict(type='ContextPixelEncoder', channels=128)))
