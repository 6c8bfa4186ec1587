"""The paper's margin of 2.1, which all triplets stay within."""
_base_ = './mix-and-match_alexnet-w50_1xb25-1k_msrc21-112x112.py'
model = dict(loss_triplet=dict(margin=2.1))
