"""No tuning, which passes on what tuning would: conv1 to conv5, not fc6 and fc7."""
_base_ = './mix-and-match_alexnet-w50_1xb25-1k_msrc21-112x112.py'
optim_wrapper = dict(optimizer=dict(lr=0))
train_cfg = dict(max_iters=1, val_interval=1)
