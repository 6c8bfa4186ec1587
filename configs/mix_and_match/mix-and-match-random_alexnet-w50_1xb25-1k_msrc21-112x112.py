"""Random triplets in place of the graph: the paper's baseline."""
_base_ = './mix-and-match_alexnet-w50_1xb25-1k_msrc21-112x112.py'
model = dict(matching='random')
