"""FS4 with the classic CAM head (ablation: CAE + PGG)."""
_base_ = './fs4_r18-fpn_1xb16-10e_msrc21-112x112.py'
model = dict(global_head=dict(type='CAMHead'))
