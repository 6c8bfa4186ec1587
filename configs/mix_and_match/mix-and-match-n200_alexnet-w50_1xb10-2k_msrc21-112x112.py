"""Graphs of 200 patches of MSRC-21."""
_base_ = './mix-and-match_alexnet-w50_1xb10-2k_msrc21-112x112.py'
model = dict(patches=dict(num_per_image=20))
