# CamVid without labels: all training images, larger than the views that the
# encoder sees. Labels serve the evaluation only.
_base_ = './camvid_120x160.py'
view_size = (120, 160)  # height, width
image_scale = (240, 180)  # of the images that views are made of
crop_size = (180, 240)  # height, width

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
val_evaluator = dict(_delete_=True, type='HungarianIoUMetric')
test_evaluator = val_evaluator
