"""Colours of the MSRC-21 images on half an AlexNet, sized for two cores."""
_base_ = [
    '../_base_/models/colorization_alexnet.py',
    '../_base_/datasets/colorization/msrc21_112x112.py',
    '../_base_/schedules/sgd_2k.py',
    '../_base_/default_runtime.py',
]
# ---- frequently modified ----
num_points = 128  # pixels of each image to train on
channels = 256  # of the hidden layer; the paper has 1,024

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(
        in_channels=3,  # fed with grey, so that colour images can follow
        channels=(48, 128, 192, 192, 128),
        stem_stride=2,
        stem_padding=0,
        out_layers=('conv1', 'conv2', 'conv3', 'conv4', 'conv5', 'pool5')),
    head=dict(
        in_channels=(48, 128, 192, 192, 128, 128),
        grids=((2, 5), (4, 7), (8, 11), (8, 11), (8, 11), (16, 19)),
        channels=channels),
    num_points=num_points)
optim_wrapper = dict(optimizer=dict(lr=0.01))
# Nothing is predicted that a label map could tell right or wrong.
val_cfg = None
test_cfg = None
default_hooks = dict(checkpoint=dict(save_best=None))
