# MSRC-21 without labels: all training images, larger than the views that the
# encoder sees. Labels serve the evaluation only.
_base_ = './msrc21_112x112.py'
view_size = (112, 112)  # height, width
image_scale = (2048, 160)  # of the images that views are made of
crop_size = (160, 160)  # height, width
partitions = dict(
    things=[3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20],
    stuff=[0, 1, 2, 5, 7, 16])

unlabeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=crop_size[::-1]),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=16,
    sampler=dict(_delete_=True, type='ResumableSampler', shuffle=True),
    dataset=dict(
        _delete_=True,
        type='UnlabeledDataset',
        data_root=_base_.data_root,
        data_prefix=dict(img_path='img_dir/train'),
        pipeline=unlabeled_pipeline))
val_evaluator = dict(
    _delete_=True, type='HungarianIoUMetric', partitions=partitions)
test_evaluator = val_evaluator
