"""3x3 puzzles of the VOC test images on AlexNet, for Table 4."""
_base_ = [
    '../_base_/models/jigsaw_alexnet.py',
    '../_base_/datasets/jigsaw/voc12test.py',
    '../_base_/schedules/sgd_50k_jigsaw.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=dict(size=_base_.crop_size))
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [
    dict(type='MultiStepLR', milestones=[20000, 40000], gamma=0.1, by_epoch=False),
]
# Transfer starts from 20k, 30k and 50k iterations.
default_hooks = dict(
    checkpoint=dict(
        interval=10000,
        max_keep_ckpts=-1,
        save_best='movable_acc',
        rule='greater'))
