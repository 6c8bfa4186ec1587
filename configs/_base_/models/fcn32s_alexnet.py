# FCN-32s on Caffe's AlexNet; the padding lets the cells of fc7 cover the image.
_base_ = './fcn32s_mbv2-w75.py'
model = dict(
    backbone=dict(_delete_=True, type='CaffeAlexNet', stem_padding=100),
    # the backbone drops channels of fc7 itself
    decode_head=dict(in_channels=4096, channels=4096, dropout_ratio=0))
