"""Cluster the pixels of a trained PiCIE anew, on plain images.

train_cfg.max_epochs=5: five clusterings, with mean and spread of their scores.
"""
_base_ = [
    '../_base_/models/picie_r18-fpn.py',
    '../_base_/datasets/camvid_120x160_unlabeled.py',
    '../_base_/schedules/adam_10e_clustering.py',
    '../_base_/default_runtime.py',
]

trained_checkpoint = 'work_dirs/picie-mocov2_r18-fpn_1xb16-5e_camvid-120x160/iter_115.pth'
# what the encoder sees is as large in training as in evaluation
crop_size = (120, 160)  # height, width
image_scale = (160, 120)
unlabeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=crop_size[::-1]),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=unlabeled_pipeline))
train_cfg = dict(type='ClusteringLoop', max_epochs=1)
encoder = _base_.model.encoder
encoder.init_cfg = dict(
    type='Pretrained', checkpoint=trained_checkpoint, prefix='encoder.')
model = dict(
    _delete_=True,
    type='KMeansSegmentor',
    data_preprocessor=dict(**_base_.model.data_preprocessor, size=crop_size),
    encoder=encoder,
    channels=_base_.model.channels,
    num_clusters=_base_.num_classes)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='ClusteringSpreadHook'),
    dict(type='OfflineClusteringHook'),
]
