"""FS4 whose context looks at places and colours only."""
_base_ = './fs4_r18-fpn_1xb16-10e_msrc21-112x112.py'
model = dict(encoder=dict(context=dict(use_features=False)))
