# The 1.3 million training images of ImageNet, without labels.
_base_ = './msrc21_112x112.py'
data_root = 'data/imagenet'
image_scale = (4096, 256)  # bounds of the longer and the shorter side
crop_size = (256, 256)  # height, width

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
    num_workers=8,
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path='train'),
        pipeline=train_pipeline))
