"""The same for a backbone that sees grey, as colorization trains it."""
_base_ = './mix-and-match_alexnet_1xb40-8k_cityscapes-512x512.py'
model = dict(backbone=dict(in_channels=1))
