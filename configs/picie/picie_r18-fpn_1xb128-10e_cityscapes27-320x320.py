"""PiCIE at the paper's size, from ImageNet labels. Not run yet."""
_base_ = [
    '../_base_/models/picie_r18-fpn.py',
    '../_base_/datasets/cityscapes27_320x320_unlabeled.py',
    '../_base_/schedules/adam_10e_clustering.py',
    '../_base_/default_runtime.py',
]

# ---- frequently modified ----
lr = 1e-3
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    view_size=_base_.view_size,
    num_clusters=_base_.num_classes,
    encoder=dict(
        backbone=dict(
            init_cfg=dict(
                type='Pretrained', checkpoint='torchvision://resnet18'))))
optim_wrapper = dict(optimizer=dict(lr=lr))
custom_hooks = [*_base_.custom_hooks, dict(type='OfflineClusteringHook')]
