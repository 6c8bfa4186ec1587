"""Puzzles of 5x5 patches of the CamVid training images, twice as long."""
_base_ = './jigsaw-5x5_mbv2-w75_1xb16-2k_camvid-180x240.py'
max_iters = 4000
train_cfg = dict(max_iters=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = max_iters
