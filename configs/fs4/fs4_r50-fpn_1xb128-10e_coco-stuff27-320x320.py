"""FS4 at the paper's size, from MoCo v2 of ImageNet, further trained on the same
images (fs4-iss-mocov2_r50_1xb256-100e_coco-stuff27-224x224.py). Not run yet.
"""
_base_ = [
    '../_base_/models/fs4_r50-fpn.py',
    '../_base_/datasets/coco_stuff27_320x320_unlabeled.py',
    '../_base_/schedules/adam_10e_clustering.py',
    '../_base_/default_runtime.py',
]

# ---- frequently modified ----
iss_checkpoint = 'work_dirs/fs4-iss-mocov2_r50_1xb256-100e_coco-stuff27-224x224/epoch_100.pth'
global_clusters = 50  # of images and their parts
pyramid_dir = f'work_dirs/fs4-pyramid-mocov2-{global_clusters}_coco-stuff27'
lr = 1e-3

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
    encoder=dict(backbone=dict(init_cfg=init_cfg)),
    global_head=dict(num_clusters=global_clusters))
optim_wrapper = dict(optimizer=dict(lr=lr))
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
            depth=50,
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
    resize=256,
    crop=224,
    num_workers=8)
