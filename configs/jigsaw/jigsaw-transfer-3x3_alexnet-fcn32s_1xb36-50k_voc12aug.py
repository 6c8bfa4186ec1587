"""VOC 2012 from 3x3 puzzles on AlexNet: Table 4."""
_base_ = [
    '../_base_/models/fcn32s_alexnet.py',
    '../_base_/datasets/jigsaw/voc12aug_500x500.py',
    '../_base_/schedules/sgd_2k.py',
    '../_base_/default_runtime.py',
]
# ---- frequently modified ----
proxy = 'work_dirs/jigsaw-3x3_alexnet_1xb64-50k_voc12test/iter_50000.pth'
freeze = []  # of block1 to block5
random = []  # blocks that do not start from the proxy

max_iters = 50000
model = dict(
    transfer=dict(checkpoint=proxy, freeze=freeze, random=random),
    # crops of 500 are padded, so that 32 pixels belong to every cell
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=_base_.num_classes))
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [
    dict(type='MultiStepLR', milestones=[10000, 25000, 40000], gamma=0.1, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=5000)
default_hooks = dict(checkpoint=dict(interval=5000))
