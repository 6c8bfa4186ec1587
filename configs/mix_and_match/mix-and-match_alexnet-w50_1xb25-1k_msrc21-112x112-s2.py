"""Mix-and-Match on MSRC-21 with another seed."""
_base_ = './mix-and-match_alexnet-w50_1xb25-1k_msrc21-112x112.py'
randomness = dict(seed=2)
