"""Fine-tuning on MSRC-21 with another seed."""
_base_ = './mix-and-match-finetune_alexnet-w50-fcn_1xb8-1k_msrc21-112x112.py'
randomness = dict(seed=1)
