"""Nothing is learned: only what tuning passes on, conv1 to conv5 without fc6."""
_base_ = './mix-and-match_alexnet-w50_1xb25-1k_msrc21-112x112.py'
optim_wrapper = dict(optimizer=dict(lr=0))
