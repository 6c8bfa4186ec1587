# Puzzles of the 16,135 images of the PASCAL VOC 2012 test release; accuracy on
# the validation images of the training release.
_base_ = './camvid_180x240.py'
data_root = 'data/VOCdevkit_test/VOC2012'
val_root = 'data/VOCdevkit/VOC2012'
image_scale = (100000, 450)  # bounds of the longer and the shorter side
crop_size = (450, 450)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResize', scale=image_scale, ratio_range=(1.0, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=crop_size[::-1]),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages'),
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=4,
    dataset=dict(
        data_root=val_root,
        ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(img_path='JPEGImages'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
