"""Random triplets in place of the graph: Table 1."""
_base_ = './mix-and-match_alexnet-grey_1xb40-8k_voc12aug-512x512.py'
model = dict(matching='random')
