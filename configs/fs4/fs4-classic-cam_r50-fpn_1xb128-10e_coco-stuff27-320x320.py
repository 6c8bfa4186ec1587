"""FS4 with the classic CAM head (ablation: CAE + PGG). Not run yet."""
_base_ = './fs4_r50-fpn_1xb128-10e_coco-stuff27-320x320.py'
model = dict(global_head=dict(type='CAMHead'))
