"""Permutations of MSRC-21 tiles on half an AlexNet, for Mix-and-Match."""
_base_ = './jigsaw-permutation_alexnet_1xb32-2k_camvid-180x240.py'
data_root = 'data/msrc21'
warmup = 100  # iterations in which the learning rate rises
image_scale = (2048, 180)  # bounds of the longer and the shorter side
crop_size = (180, 180)  # height, width; cells of 60 pixels, tiles of 50

train_pipeline = [
    dict(type='LoadImageFromFile'),
    # Never smaller than the crop: borders would tell the place of a tile.
    dict(
        type='RandomResize',
        scale=image_scale,
        ratio_range=(1.0, 1.5),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=crop_size[::-1]),
    dict(type='PackSegInputs'),
]
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(channels=(48, 128, 192, 192, 128)),
    head=dict(in_channels=128, dropout_ratio=0))
# Gentler than the base config: 100 classes from random weights.
optim_wrapper = dict(optimizer=dict(lr=0.02))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, end=warmup, by_epoch=False),
    dict(
        type='PolyLR',
        power=0.9,
        begin=warmup,
        end=_base_.max_iters,
        by_epoch=False),
]
train_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
