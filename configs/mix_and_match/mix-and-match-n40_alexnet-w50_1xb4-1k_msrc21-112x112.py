"""Graphs of 40 patches of MSRC-21, from 4 images."""
_base_ = './mix-and-match_alexnet-w50_1xb10-1k_msrc21-112x112.py'
train_dataloader = dict(batch_size=4)
