# Hypercolumns on VGG-16 with batch norm: conv1_1 to conv5_3, fc6 and fc7.
# Set data_preprocessor.size and decode_head.num_classes on top of it.
_base_ = './fcn_alexnet.py'
layers = ('conv1_1', 'conv1_2', 'conv2_1', 'conv2_2', 'conv3_1', 'conv3_2', 'conv3_3', 'conv4_1',
          'conv4_2', 'conv4_3', 'conv5_1', 'conv5_2', 'conv5_3', 'fc6', 'fc7')
# stride and offset of the cells of each layer, see tools/analysis_tools/receptive_field.py
grids = (*[(1, 0)] * 2, *[(2, 0.5)] * 2, *[(4, 1.5)] * 3, *[(8, 3.5)] * 3, *[(16, 7.5)] * 3, *[(32, 15.5)] * 2)
widths = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512, 4096, 4096)
model = dict(
    data_preprocessor=dict(test_cfg=None),  # the grids hold for every size
    backbone=dict(
        _delete_=True,
        type='LayeredVGG',
        depth=16,
        out_layers=layers,
        norm_cfg=_base_.norm_cfg,
        init_cfg=_base_.model.backbone.init_cfg),
    decode_head=dict(
        _delete_=True,
        type='HypercolumnHead',
        in_channels=widths,
        in_index=tuple(range(len(layers))),
        grids=grids,
        channels=1024,
        num_points=512,
        tile=64,  # bounds the memory of a prediction
        dropout_ratio=0.5,
        align_corners=False,
        loss_decode=dict(
            type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)))
