# FS4 on ResNet-50 with the FPN decoder.
_base_ = './fs4_r18-fpn.py'
model = dict(
    encoder=dict(
        backbone=dict(depth=50),
        neck=dict(in_channels=[256, 512, 1024, 2048], out_channels=256),
        channels=256),
    channels=256,
    global_head=dict(in_channels=256))
