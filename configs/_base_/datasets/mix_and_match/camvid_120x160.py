# CamVid at 160x120 pixels, all labelled images; patches of a validation.
_base_ = '../camvid_120x160.py'
image_scale = (160, 120)  # width, height
crop_size = (120, 160)  # height, width

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=image_scale, ratio_range=(0.75, 1.5)),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
# Patches need labels of the image's size: LoadAnnotations before Resize.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=image_scale),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=25, dataset=dict(ann_file='', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='PatchRetrieval')
test_evaluator = val_evaluator
