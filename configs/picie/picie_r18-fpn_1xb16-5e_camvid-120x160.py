"""PiCIE from scratch."""
_base_ = [
    '../_base_/models/picie_r18-fpn.py',
    '../_base_/datasets/camvid_120x160_unlabeled.py',
    '../_base_/schedules/adam_5e_decay_clustering.py',
    '../_base_/default_runtime.py',
]

# ---- frequently modified ----
lr = 1e-3
blur_sigma = (0.1, 0.7)  # in pixels; a third of the paper's, as are the images

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    view_size=_base_.view_size,
    num_clusters=_base_.num_classes,
    photometry=dict(blur_sigma=blur_sigma))
optim_wrapper = dict(optimizer=dict(lr=lr))
default_hooks = dict(checkpoint=dict(interval=100))  # iterations
custom_hooks = [*_base_.custom_hooks, dict(type='OfflineClusteringHook')]
