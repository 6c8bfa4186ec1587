# PASCAL VOC 2012 with the labels of SBD, 10,582 training images, crops of
# 321x321: a few labelled images, all unlabelled. The folder is made by
# tools/dataset_tools/convert_voc12aug.py, the lists by make_label_lists.py.
dataset_type = 'VOC12AugDataset'
data_root = 'data/VOCdevkit/VOC2012'
num_classes = 21
# 60, 200 or 600 labelled images, seeds 0 to 2; from the command line with the
# whole path: --cfg-options labeled_list=$PWD/configs/_base_/splits/...
labeled_list = '{{ fileDirname }}/../splits/voc12aug/60-seed0.txt'
all_images = 'ImageSets/Segmentation/trainaug.txt'
crop_size = (321, 321)  # height, width

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    # The longer side of nearly all images is 500: a zoom by 0.5 to 1.5.
    dict(type='RandomResize', scale=(500, 500), ratio_range=(0.5, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
# The teacher predicts on plain crops. Zoom, jitter and flip follow, on the
# model's device.
unlabeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

labeled_dataset = dict(
    type=dataset_type,
    data_root=data_root,
    ann_file=labeled_list,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
    pipeline=train_pipeline)
unlabeled_dataset = dict(
    type='UnlabeledDataset',
    data_root=data_root,
    ann_file=all_images,
    data_prefix=dict(img_path='JPEGImages'),
    pipeline=unlabeled_pipeline)

train_dataloader = dict(
    batch_size=20,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=labeled_dataset)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
