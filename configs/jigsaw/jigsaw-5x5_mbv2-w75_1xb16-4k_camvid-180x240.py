"""Puzzles of 5x5 patches of the CamVid training images, twice as long."""
_base_ = './jigsaw-5x5_mbv2-w75_1xb16-2k_camvid-180x240.py'
max_iters = 4000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=0,
        begin=0,
        end=max_iters,
        by_epoch=False)
]
