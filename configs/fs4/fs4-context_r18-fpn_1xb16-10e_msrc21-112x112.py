"""PiCIE with the context-aware embedding alone (ablation: CAE)."""
_base_ = './fs4_r18-fpn_1xb16-10e_msrc21-112x112.py'
# the images as they are, without global labels
unlabeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=_base_.image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=_base_.crop_size[::-1]),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=unlabeled_pipeline))
model = dict(global_head=None)
