# Jigsaw puzzles on Caffe's AlexNet without batch norm.
_base_ = './jigsaw_mbv2-w75.py'
model = dict(
    backbone=dict(_delete_=True, type='CaffeAlexNet'),
    head=dict(in_channels=4096))
