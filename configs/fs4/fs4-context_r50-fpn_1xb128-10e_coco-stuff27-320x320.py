"""PiCIE with the context-aware embedding alone (ablation: CAE). Not run yet."""
_base_ = './fs4_r50-fpn_1xb128-10e_coco-stuff27-320x320.py'
# the images as they are, without global labels
unlabeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=_base_.image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=_base_.crop_size[::-1]),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=unlabeled_pipeline))
model = dict(global_head=None)
