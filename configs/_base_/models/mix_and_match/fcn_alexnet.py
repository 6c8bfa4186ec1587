# FCN on Caffe's AlexNet with batch norm, which keeps training; fc6 and fc7 start
# at random behind a stage that ends at pool5.
# Set data_preprocessor.size and decode_head.num_classes on top of it.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        # cells share the image evenly only if its sides are multiples of 32
        test_cfg=dict(size_divisor=32)),
    backbone=dict(
        type='CaffeAlexNet',
        out_layers=('fc7', ),
        # The cells of fc7 cover the whole image. The paper pads by 100 and crops
        # in the end; the cells of 98 need no cropping: a side of 32 n pixels
        # gives n of them, the first at pixel 15, half a pixel from its share
        # (100: n + 1 for 512, up to 29 pixels from theirs).
        stem_padding=98,
        norm_cfg=norm_cfg,
        lrn=False,
        init_cfg=[
            dict(type='Xavier', layer='Conv2d', distribution='uniform'),
            dict(type='Constant', val=1, layer='_BatchNorm'),
        ]),
    decode_head=dict(
        type='FCNHead',
        num_convs=0,
        concat_input=False,
        in_channels=4096,
        in_index=-1,
        channels=4096,
        dropout_ratio=0,  # the backbone has that behind fc7
        align_corners=False,
        loss_decode=dict(
            type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
