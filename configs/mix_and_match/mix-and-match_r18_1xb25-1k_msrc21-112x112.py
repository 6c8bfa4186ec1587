"""Mix-and-Match on ResNet-18: any backbone of mmseg or mmpretrain will do."""
_base_ = './mix-and-match_alexnet-w50_1xb25-1k_msrc21-112x112.py'
model = dict(
    backbone=dict(
        _delete_=True, type='ResNet', depth=18, norm_cfg=_base_.norm_cfg))
