# FCN-32s on Caffe's AlexNet; the padding lets the cells of fc7 cover the image.
# FCN-32s pads by 100 and crops in the end; with 98 there is nothing to crop: a
# side of 32 n pixels gives n cells, the first at pixel 15, half a pixel from its
# share (100: n + 1 for 512, up to 29 pixels from theirs).
_base_ = './fcn32s_mbv2-w75.py'
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    backbone=dict(_delete_=True, type='CaffeAlexNet', stem_padding=98),
    # the backbone has the dropout behind fc7
    decode_head=dict(in_channels=4096, channels=4096, dropout_ratio=0))
