"""The same for a backbone that sees grey, as colorization trains it."""
_base_ = './mix-and-match_vgg16_4xb16-8k_cityscapes-512x512.py'
model = dict(backbone=dict(in_channels=1))
