"""The baseline: a few labelled pixels in every image.

``partial_labels`` of the dataset base says which; see there.
"""
_base_ = [
    '../_base_/models/deeplabv3plus_mbv2-d16.py',
    '../_base_/datasets/msrc21_112x112_partial.py',
    '../_base_/schedules/sgd_1k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes))
