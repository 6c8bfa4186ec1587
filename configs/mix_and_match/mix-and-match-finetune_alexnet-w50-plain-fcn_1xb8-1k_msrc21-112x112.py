"""Without batch norm, as Caffe's AlexNet was: random weights in the literature."""
_base_ = './mix-and-match-finetune_alexnet-w50-fcn_1xb8-1k_msrc21-112x112.py'
model = dict(backbone=dict(norm_cfg=None, lrn=True))
