"""FS4 whose context looks at places and colours only. Not run yet."""
_base_ = './fs4_r50-fpn_1xb128-10e_coco-stuff27-320x320.py'
model = dict(encoder=dict(context=dict(use_features=False)))
