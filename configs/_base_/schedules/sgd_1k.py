# 1,000 iterations of SGD from scratch, for small images.
_base_ = './sgd_2k.py'
max_iters = 1000
param_scheduler = [
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=0,
        begin=0,
        end=max_iters,
        by_epoch=False)
]
train_cfg = dict(max_iters=max_iters, val_interval=250)
