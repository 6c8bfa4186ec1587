# SUN RGB-D, 37 classes, 9,860 training images brought to 385x513, crops of
# 321x321: a few labelled images, all unlabelled. The folder is made by
# tools/dataset_tools/convert_sunrgbd.py, the lists by make_label_lists.py.
dataset_type = 'SUNRGBDDataset'
data_root = 'data/sunrgbd'
num_classes = 37
# 50, 150 or 500 labelled images, seeds 0 to 2; from the command line with the
# whole path: --cfg-options labeled_list=$PWD/configs/_base_/splits/...
labeled_list = '{{ fileDirname }}/../splits/sunrgbd/50-seed0.txt'
image_scale = (513, 385)  # width, height
crop_size = (321, 321)  # height, width

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=image_scale, ratio_range=(0.5, 1.5)),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
# The teacher predicts on plain crops. Zoom, jitter and flip follow, on the
# model's device.
unlabeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale),
    # Behind Resize: predictions are compared at the size of the label files.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

labeled_dataset = dict(
    type=dataset_type,
    data_root=data_root,
    ann_file=labeled_list,
    data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
    pipeline=train_pipeline)
unlabeled_dataset = dict(
    type='UnlabeledDataset',
    data_root=data_root,
    data_prefix=dict(img_path='img_dir/train'),
    pipeline=unlabeled_pipeline)

train_dataloader = dict(
    batch_size=10,
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
        data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
