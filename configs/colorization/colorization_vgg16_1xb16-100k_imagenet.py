"""Colours of ImageNet's images on VGG-16, which sees grey."""
_base_ = [
    '../_base_/models/colorization_vgg16.py',
    '../_base_/datasets/colorization/imagenet_256x256.py',
    '../_base_/schedules/sgd_2k.py',
    '../_base_/default_runtime.py',
]
max_iters = 100000
model = dict(data_preprocessor=dict(size=_base_.crop_size))
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [
    dict(type='MultiStepLR', milestones=[60000, 90000], gamma=0.1, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters)
val_cfg = None
test_cfg = None
default_hooks = dict(
    logger=dict(interval=100), checkpoint=dict(interval=10000, save_best=None))
