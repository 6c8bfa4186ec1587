"""Permutations of tiles of 64 pixels on VGG-16, for Mix-and-Match."""
_base_ = './jigsaw-permutation_alexnet_1xb64-50k_voc12test.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='LayeredVGG',
        depth=16,
        out_layers=('pool5', ),
        norm_cfg=dict(type='SyncBN', requires_grad=True)),
    head=dict(in_channels=512, map_size=2))
