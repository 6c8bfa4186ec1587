"""Graphs of 200 patches of MSRC-21, from 50 images."""
_base_ = './mix-and-match_alexnet-w50_1xb25-1k_msrc21-112x112.py'
train_dataloader = dict(batch_size=50)
