# The training images of MSRC-21, shorter side 112 pixels, without labels.
data_root = 'data/msrc21'
num_classes = 21  # of the images' labels, which nothing here reads
image_scale = (2048, 112)  # bounds of the longer and the shorter side
crop_size = (112, 112)  # height, width

# No photometric distortion: the colours are what is to be learned.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResize',
        scale=image_scale,
        ratio_range=(1.0, 1.5),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
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
