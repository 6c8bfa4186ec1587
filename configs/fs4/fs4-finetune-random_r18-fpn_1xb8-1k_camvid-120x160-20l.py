"""The network of FS4 from scratch with few labels, to compare with."""
_base_ = './fs4-finetune_r18-fpn_1xb8-1k_camvid-120x160-20l.py'
lr = 1e-3
model = dict(backbone=dict(encoder=dict(init_cfg=None)))
optim_wrapper = dict(optimizer=dict(lr=lr))
