"""Graphs of 40 patches of MSRC-21, from 10 images."""
_base_ = './mix-and-match_alexnet-w50_1xb25-1k_msrc21-112x112.py'
train_dataloader = dict(batch_size=10)
