"""5x5 puzzles with patches as large as those of 3x3 puzzles, solved before.

As the paper's 5x5, 192: larger crops, and so many fewer of them in a batch that
it has as many pixels. The backbone starts from the 3x3 puzzles.
"""
_base_ = './jigsaw-5x5_mbv2-w75_1xb16-2k_camvid-180x240.py'
# ---- frequently modified ----
image_scale = (400, 300)  # width, height
crop_size = (300, 300)
# None: from scratch
start = dict(
    type='Pretrained',
    checkpoint='work_dirs/jigsaw-3x3_mbv2-w75_1xb16-2k_camvid-180x240/iter_2000.pth',
    prefix='backbone.')

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
model = dict(
    data_preprocessor=dict(size=crop_size), backbone=dict(init_cfg=start))
train_dataloader = dict(batch_size=6, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
