"""Tuning on 20 labelled images of the backbone that the ReCo configs train.

``tools/run_chain.py`` with this config and one of ``configs/reco`` puts
Mix-and-Match before ReCo.
"""
_base_ = './mix-and-match_alexnet-w50_1xb25-1k_camvid-120x160.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        strides=(1, 2, 2, 2, 1, 1, 1),
        dilations=(1, 1, 1, 1, 1, 2, 2),
        out_indices=(1, 2, 4, 6),
        norm_cfg=_base_.norm_cfg),
    patches=dict(num_per_image=5))
train_dataloader = dict(
    batch_size=20, dataset=dict(ann_file=_base_.labeled_list))
