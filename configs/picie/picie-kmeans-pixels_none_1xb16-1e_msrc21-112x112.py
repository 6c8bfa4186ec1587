"""K-means on colours: no network, nothing to train."""
_base_ = [
    '../_base_/models/picie_r18-fpn.py',
    '../_base_/datasets/msrc21_112x112_unlabeled.py',
    '../_base_/schedules/adam_10e_clustering.py',
    '../_base_/default_runtime.py',
]

# what the encoder sees is as large in training as in evaluation
crop_size = (112, 112)  # height, width
image_scale = (2048, 112)
unlabeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=crop_size[::-1]),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=unlabeled_pipeline))
train_cfg = dict(type='ClusteringLoop', max_epochs=1)
model = dict(
    type='KMeansSegmentor',
    data_preprocessor=dict(size=crop_size),
    encoder=dict(_delete_=True, type='RawPixels'),
    channels=3,
    num_clusters=_base_.num_classes,
    metric='euclidean')
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='ClusteringSpreadHook'),
    dict(type='OfflineClusteringHook'),
]
