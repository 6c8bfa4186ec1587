"""The baseline: 20 labelled images of Cityscapes, nothing else.

50 or 150 images, and other seeds: ``labeled_list`` of the dataset base.
"""
_base_ = [
    '../_base_/models/deeplabv3plus_r101-d16.py',
    '../_base_/datasets/cityscapes_512x1024.py',
    '../_base_/schedules/sgd_40k_reco.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes))
default_hooks = dict(checkpoint=dict(interval=2000))
