"""The baseline: 50 labelled images of SUN RGB-D, nothing else.

150 or 500 images, and other seeds: ``labeled_list`` of the dataset base.
"""
_base_ = [
    '../_base_/models/deeplabv3plus_r101-d16.py',
    '../_base_/datasets/sunrgbd_385x513.py',
    '../_base_/schedules/sgd_40k_reco.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes))
default_hooks = dict(checkpoint=dict(interval=2000))
