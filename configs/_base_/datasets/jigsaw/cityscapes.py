# Puzzles of Cityscapes: the training images of 14 cities (2,472), no labels.
# The four other cities are for segmentation, see cityscapes_503.py.
_base_ = './camvid_180x240.py'
data_root = 'data/cityscapes'
image_scale = (2048, 1024)  # width, height
crop_size = (576, 576)
scale_range = (0.75, 1.5)
cities = ('aachen', 'bochum', 'bremen', 'cologne', 'darmstadt', 'dusseldorf', 'erfurt', 'hamburg',
          'hanover', 'jena', 'krefeld', 'monchengladbach', 'strasbourg', 'stuttgart')

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResize', scale=image_scale, ratio_range=scale_range, keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='CenterCrop', crop_size=crop_size[::-1]),  # one per image
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=36,
    num_workers=8,
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path=[f'leftImg8bit/train/{city}' for city in cities]),
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=4,
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
