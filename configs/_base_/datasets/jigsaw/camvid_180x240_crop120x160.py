# CamVid at 240x180 pixels, crops of 160x120: as large as a network for puzzles
# has seen things, at half the cost of whole images.
_base_ = '../camvid_180x240.py'
image_scale = (240, 180)  # width, height
crop_size = (120, 160)  # height, width

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=image_scale, ratio_range=(0.75, 1.5)),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
labeled_dataset = dict(pipeline=train_pipeline)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
