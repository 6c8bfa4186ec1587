"""Graphs of 200 patches, from 20 images: the study of the graph's size."""
_base_ = './mix-and-match_alexnet-grey_1xb40-8k_voc12aug-512x512.py'
train_dataloader = dict(batch_size=20)
