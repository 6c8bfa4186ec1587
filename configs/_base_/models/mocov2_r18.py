# MoCo v2 on ResNet-18. The length of the queue must be a multiple of the batch,
# and shorter than the data set, or it holds old keys of the image asked for.
# Groups of the batch have statistics of their own, as on several GPUs: without
# them the shuffle of the keys has no effect in one process.
model = dict(
    type='MoCo',
    queue_len=256,
    feat_dim=128,
    momentum=0.01,  # weight of the new value; small data see few updates
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True),
    backbone=dict(
        type='ResNet',
        depth=18,
        norm_cfg=dict(type='SplitBatchNorm2d', group_size=8),
        zero_init_residual=False),
    neck=dict(
        type='MoCoV2Neck',
        in_channels=512,
        hid_channels=512,
        out_channels=128,
        with_avg_pool=True),
    head=dict(
        type='ContrastiveHead',
        loss=dict(type='CrossEntropyLoss'),
        temperature=0.2))
