# Mix-and-Match on Caffe's AlexNet with batch norm, Xavier's initialisation.
# Set data_preprocessor.size and patches on top of it.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='MixAndMatch',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(
        type='CaffeAlexNet',
        out_layers=('pool5', ),
        norm_cfg=norm_cfg,
        lrn=False,
        init_cfg=[
            dict(type='Xavier', layer='Conv2d', distribution='uniform'),
            dict(type='Constant', val=1, layer='_BatchNorm'),
        ]),
    loss_triplet=dict(type='PatchTripletLoss', margin=2.1))
