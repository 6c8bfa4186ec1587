# An eighth of the paper's iterations, for small images.
_base_ = './sgd_8k_mix_and_match.py'
max_iters = 1000
param_scheduler = [
    dict(type='MultiStepLR', milestones=[750], gamma=0.1, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=250)
