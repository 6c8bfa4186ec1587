# Puzzles of CamVid at 240x180 pixels: all training images, without labels.
data_root = 'data/camvid'
image_scale = (240, 180)  # width, height
crop_size = (180, 180)  # height, width; cells then lie near the centres of 5x5 patches, too

train_pipeline = [
    dict(type='LoadImageFromFile'),
    # Never smaller than the crop: borders would tell the place of a patch.
    dict(type='RandomResize', scale=image_scale, ratio_range=(1.0, 1.5)),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale),
    dict(type='CenterCrop', crop_size=crop_size[::-1]),  # one per image
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='UnlabeledDataset',
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='UnlabeledDataset',
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/val'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='PatchAccuracy')
test_evaluator = val_evaluator
