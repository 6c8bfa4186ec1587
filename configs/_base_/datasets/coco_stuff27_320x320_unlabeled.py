# COCO-Stuff-27 at the papers' size: views of 320 pixels from images of 640.
# Labels (ids of the 27 classes) serve the evaluation only.
dataset_type = 'COCOStuff27Dataset'
data_root = 'data/coco_stuff27'
num_classes = 27
view_size = (320, 320)  # height, width, of what the encoder sees
image_scale = (2048, 640)  # bounds of the longer and the shorter side
crop_size = (640, 640)  # height, width

unlabeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=crop_size[::-1]),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1024, 320), keep_ratio=True),
    # Behind Resize: predictions are compared at the size of the label files.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type='UnlabeledDataset',
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/train'),
        pipeline=unlabeled_pipeline))
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
partitions = dict(things=list(range(12)), stuff=list(range(12, 27)))
val_evaluator = dict(type='HungarianIoUMetric', partitions=partitions)
test_evaluator = val_evaluator
