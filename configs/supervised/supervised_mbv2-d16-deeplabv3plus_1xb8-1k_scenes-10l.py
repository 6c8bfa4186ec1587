"""The baseline of the quick start: 10 painted scenes with labels."""
_base_ = [
    '../_base_/models/deeplabv3plus_mbv2-d16.py',
    '../_base_/datasets/scenes.py',
    '../_base_/schedules/sgd_2k.py',
    '../_base_/default_runtime.py',
]

# ---- frequently modified ----
max_iters = 1000

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes))
param_scheduler = [
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=0,
        begin=0,
        end=max_iters,
        by_epoch=False)
]
train_cfg = dict(max_iters=max_iters, val_interval=200)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=200, max_keep_ckpts=1))
