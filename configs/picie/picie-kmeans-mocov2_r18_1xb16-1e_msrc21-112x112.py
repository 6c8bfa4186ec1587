"""K-means on the frozen features of MoCo v2: nothing to train."""
_base_ = [
    '../_base_/models/picie_r18-fpn.py',
    '../_base_/datasets/msrc21_112x112_unlabeled.py',
    '../_base_/schedules/adam_10e_clustering.py',
    '../_base_/default_runtime.py',
]

iss_checkpoint = 'work_dirs/fs4-iss-mocov2_r18_1xb32-100e_msrc21-112x112/epoch_100.pth'
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
    encoder=dict(
        neck=None,
        backbone=dict(
            out_indices=(2, ),  # at 1/16 of the image
            init_cfg=dict(
                type='Pretrained',
                checkpoint=iss_checkpoint,
                prefix='backbone.'))),
    channels=256,
    num_clusters=_base_.num_classes)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='ClusteringSpreadHook'),
    dict(type='OfflineClusteringHook'),
]
