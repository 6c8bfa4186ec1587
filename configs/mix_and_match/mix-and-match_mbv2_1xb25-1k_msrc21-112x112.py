"""Mix-and-Match on MobileNetV2: any backbone of mmseg or mmpretrain will do."""
_base_ = './mix-and-match_alexnet-w50_1xb25-1k_msrc21-112x112.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(6, ),
        norm_cfg=_base_.norm_cfg))
