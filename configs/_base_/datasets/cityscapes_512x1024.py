# Cityscapes at half size, 2,975 training images, crops of 512x512: a few
# labelled images, all unlabelled. The folder is made by
# tools/dataset_tools/convert_cityscapes.py, the lists by make_label_lists.py.
dataset_type = 'CheckedCityscapesDataset'
data_root = 'data/cityscapes_512x1024'
num_classes = 19
# 20, 50 or 150 labelled images, seeds 0 to 2; from the command line with the
# whole path: --cfg-options labeled_list=$PWD/configs/_base_/splits/...
labeled_list = '{{ fileDirname }}/../splits/cityscapes/20-seed0.txt'
crop_size = (512, 512)  # height, width

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
# The teacher predicts on plain crops. Jitter and flip follow, on the model's
# device.
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
    data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
    pipeline=train_pipeline)
unlabeled_dataset = dict(
    type='UnlabeledDataset',
    data_root=data_root,
    data_prefix=dict(img_path='leftImg8bit/train'),
    pipeline=unlabeled_pipeline)

train_dataloader = dict(
    batch_size=4,
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
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
