"""FS4 from MoCo v2 on the same images, whose features also give the labels.

Before it: fs4-iss-mocov2_r18_1xb32-40e_camvid-120x160.py, and
tools/dataset_tools/make_pyramid_labels.py with this config.
"""
_base_ = [
    '../_base_/models/fs4_r18-fpn_small.py',
    '../_base_/datasets/camvid_120x160_unlabeled.py',
    '../_base_/schedules/adam_5e_decay_clustering.py',
    '../_base_/default_runtime.py',
]

# ---- frequently modified ----
iss_checkpoint = 'work_dirs/fs4-iss-mocov2_r18_1xb32-40e_camvid-120x160/epoch_40.pth'
global_clusters = 25  # of images and their parts; the paper: 50
pyramid_dir = f'work_dirs/fs4-pyramid-mocov2-{global_clusters}_camvid-120x160'
lr = 3e-4  # a third of the paper's, so that what MoCo v2 learned is not lost
blur_sigma = (0.1, 0.7)  # in pixels; a third of the paper's, as are the images

init_cfg = dict(
    type='Pretrained', checkpoint=iss_checkpoint, prefix='backbone.')
unlabeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomPyramidView',
        label_file=f'{pyramid_dir}/labels.npz',
        views='selected'),
    dict(type='Resize', scale=_base_.image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=_base_.crop_size[::-1]),
    dict(
        type='PackSegInputs',
        meta_keys=('img_path', 'ori_shape', 'img_shape', 'pad_shape',
                   'scale_factor', 'pyramid_view', 'global_label')),
]
train_dataloader = dict(dataset=dict(pipeline=unlabeled_pipeline))
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    view_size=_base_.view_size,
    num_clusters=_base_.num_classes,
    photometry=dict(blur_sigma=blur_sigma),
    encoder=dict(backbone=dict(init_cfg=init_cfg)),
    global_head=dict(num_clusters=global_clusters))
optim_wrapper = dict(optimizer=dict(lr=lr))
default_hooks = dict(checkpoint=dict(interval=100))  # iterations
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='PyramidLabelsHook'),
    dict(type='OfflineClusteringHook'),
]

# what tools/dataset_tools/make_pyramid_labels.py does
pyramid_labels = dict(
    network=dict(
        type='PooledFeatures',
        backbone=dict(
            type='ResNet',
            depth=18,
            norm_cfg=dict(type='BN'),
            init_cfg=init_cfg)),
    dataset=dict(
        type='UnlabeledDataset',
        data_root=_base_.data_root,
        data_prefix=dict(img_path='img_dir/train'),
        pipeline=[]),
    out_dir=pyramid_dir,
    num_clusters=global_clusters,
    keep=0.4,
    resize=146,
    crop=128)
