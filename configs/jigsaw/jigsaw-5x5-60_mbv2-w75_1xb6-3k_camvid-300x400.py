"""5x5 puzzles whose patches are as large as those of the 3x3 puzzles.

What the paper's 5x5, 192 are to its 5x5, 115: larger crops, and so many fewer
of them in a batch that it has as many pixels.
"""
_base_ = './jigsaw-5x5_mbv2-w75_1xb16-2k_camvid-180x240.py'
# ---- frequently modified ----
image_scale = (400, 300)  # width, height
crop_size = (300, 300)
max_iters = 3000

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResize', scale=image_scale, ratio_range=(1.0, 1.5)),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale),
    dict(type='CenterCrop', crop_size=crop_size),
    dict(type='PackSegInputs'),
]
model = dict(data_preprocessor=dict(size=crop_size))
train_dataloader = dict(batch_size=6, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = max_iters
