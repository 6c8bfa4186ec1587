"""SwAV on the target images; its prototypes can stand in for K-means."""
_base_ = './fs4-iss-mocov2_r18_1xb32-100e_msrc21-112x112.py'

# ---- frequently modified ----
max_epochs = 60
num_prototypes = 200
num_crops = [2, 4]
small_view = 64

small_pipeline = [
    dict(
        type='RandomResizedCrop',
        scale=small_view,
        crop_ratio_range=(0.05, 0.2),
        backend='pillow'),
    dict(
        type='RandomApply',
        transforms=[
            dict(
                type='ColorJitter',
                brightness=0.4,
                contrast=0.4,
                saturation=0.4,
                hue=0.1)
        ],
        prob=0.8),
    dict(
        type='RandomGrayscale',
        prob=0.2,
        keep_channels=True,
        channel_weights=(0.114, 0.587, 0.2989)),
    dict(
        type='GaussianBlur',
        magnitude_range=(0.1, 0.5),
        magnitude_std='inf',
        prob=0.5),
    dict(type='RandomFlip', prob=0.5),
]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiView',
        num_views=num_crops,
        transforms=[_base_.view_pipeline, small_pipeline]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# no keys that queries could be told by
backbone = _base_.model.backbone
backbone.norm_cfg = dict(type='BN')
model = dict(
    _delete_=True,
    type='SwAV',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=backbone,
    neck=dict(
        type='SwAVNeck',
        in_channels=512,
        hid_channels=512,
        out_channels=128,
        with_avg_pool=True,
        norm_cfg=dict(type='BN1d')),
    head=dict(
        type='SwAVHead',
        loss=dict(
            type='SwAVLoss',
            feat_dim=128,
            num_prototypes=num_prototypes,
            epsilon=0.05,
            temperature=0.1,
            num_crops=num_crops)))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs,
        by_epoch=True,
        begin=0,
        end=max_epochs,
        convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=max_epochs)
find_unused_parameters = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='SwAVHook',
        priority='VERY_HIGH',
        batch_size=_base_.batch_size,
        epoch_queue_starts=15,
        crops_for_assign=[0, 1],
        feat_dim=128,
        queue_length=256,
        # as many iterations as an epoch has with batches of 32
        frozen_layers_cfg=dict(prototypes=10)),
]
