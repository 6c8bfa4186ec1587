"""The paper's 5x5 puzzles with patches of 192 pixels of crops of 960."""
_base_ = './jigsaw-5x5-115_mbv2-w75_1xb36-50k_cityscapes.py'
crop_size = (960, 960)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResize', scale=_base_.image_scale, ratio_range=(0.95, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='CenterCrop', crop_size=crop_size),
    dict(type='PackSegInputs'),
]
model = dict(data_preprocessor=dict(size=crop_size))
train_dataloader = dict(batch_size=13, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
