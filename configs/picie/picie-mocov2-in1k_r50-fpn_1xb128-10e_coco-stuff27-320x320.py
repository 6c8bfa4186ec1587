"""PiCIE from MoCo v2 of ImageNet: the first row of FS4's ablation. Not run yet."""
_base_ = [
    '../_base_/models/picie_r50-fpn.py',
    '../_base_/datasets/coco_stuff27_320x320_unlabeled.py',
    '../_base_/schedules/adam_10e_clustering.py',
    '../_base_/default_runtime.py',
]

# ---- frequently modified ----
iss_checkpoint = 'work_dirs/mocov2_resnet50.pth'  # of mmpretrain, on ImageNet
lr = 1e-3

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    view_size=_base_.view_size,
    num_clusters=_base_.num_classes,
    encoder=dict(
        backbone=dict(
            init_cfg=dict(
                type='Pretrained',
                checkpoint=iss_checkpoint,
                prefix='backbone.'))))
optim_wrapper = dict(optimizer=dict(lr=lr))
custom_hooks = [*_base_.custom_hooks, dict(type='OfflineClusteringHook')]
