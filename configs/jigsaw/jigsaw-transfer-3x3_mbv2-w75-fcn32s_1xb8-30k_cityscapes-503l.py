"""Cityscapes with 503 labels from 3x3 puzzles: the cells of Tables 2 and 3."""
_base_ = [
    '../_base_/models/fcn32s_mbv2-w75.py',
    '../_base_/datasets/jigsaw/cityscapes_503.py',
    '../_base_/schedules/sgd_2k.py',
    '../_base_/default_runtime.py',
]
# ---- frequently modified ----
# iter_20000, iter_30000 or iter_50000
proxy = 'work_dirs/jigsaw-3x3_mbv2-w75_1xb36-50k_cityscapes/iter_30000.pth'
freeze = []  # of block1 to block5
random = []  # blocks that do not start from the proxy

max_iters = 30000
model = dict(
    transfer=dict(checkpoint=proxy, freeze=freeze, random=random),
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes))
optim_wrapper = dict(optimizer=dict(lr=0.05, weight_decay=1e-4))
param_scheduler = [
    dict(type='MultiStepLR', milestones=[5000, 15000, 25000], gamma=0.1, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=5000)
default_hooks = dict(checkpoint=dict(interval=5000))
