# Colorization with hypercolumns on Caffe's AlexNet with batch norm, grey input.
# Set data_preprocessor.size on top of it.
norm_cfg = dict(type='SyncBN', requires_grad=True)
layers = ('conv1', 'conv2', 'conv3', 'conv4', 'conv5', 'fc6', 'fc7')
model = dict(
    type='Colorization',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(
        type='CaffeAlexNet',
        in_channels=1,
        out_layers=layers,
        stem_padding=100,
        norm_cfg=norm_cfg,
        lrn=False),
    head=dict(
        type='ColorizationHead',
        in_channels=(96, 256, 384, 384, 256, 4096, 4096),
        # stride and offset of the cells, see tools/analysis_tools/receptive_field.py
        grids=((4, -95), (8, -91), (16, -83), (16, -83), (16, -83), (32, 13), (32, 13)),
        channels=1024,
        num_bins=32),
    num_points=128,
    window=7,
    loss_color=dict(type='ColorHistogramLoss', hue_weight=5.0))
