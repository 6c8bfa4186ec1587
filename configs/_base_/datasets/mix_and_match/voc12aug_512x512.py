# PASCAL VOC 2012 with the labels of SBD, 10,582 images, crops of 512x512.
dataset_type = 'PascalVOCDataset'
data_root = 'data/VOCdevkit/VOC2012'
num_classes = 21
crop_size = (512, 512)  # height, width

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type=dataset_type,
                data_root=data_root,
                ann_file=f'ImageSets/Segmentation/{ids}.txt',
                data_prefix=dict(img_path='JPEGImages', seg_map_path=masks),
                pipeline=train_pipeline)
            for ids, masks in (('train', 'SegmentationClass'),
                               ('aug', 'SegmentationClassAug'))
        ]))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(
            img_path='JPEGImages', seg_map_path='SegmentationClass'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

# tools/test.py CONFIG CHECKPOINT --server DIR: the 1,456 test images (of
# VOC2012test.tar, unpacked into the same folder), for the server of VOC.
server_test = dict(
    dataset=dict(
        type='VOC12AugDataset',
        data_root=data_root,
        ann_file='ImageSets/Segmentation/test.txt',
        data_prefix=dict(img_path='JPEGImages'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]),
    evaluator=dict(type='VOCSubmission', competition='comp6'))
