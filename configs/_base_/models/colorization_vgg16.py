# Colorization with hypercolumns on VGG-16 with batch norm, grey input.
# Set data_preprocessor.size on top of it.
_base_ = './colorization_alexnet.py'
layers = ('conv1_1', 'conv1_2', 'conv2_1', 'conv2_2', 'conv3_1', 'conv3_2', 'conv3_3', 'conv4_1',
          'conv4_2', 'conv4_3', 'conv5_1', 'conv5_2', 'conv5_3', 'fc6', 'fc7')
# stride and offset of the cells of each layer, see tools/analysis_tools/receptive_field.py
grids = (*[(1, 0)] * 2, *[(2, 0.5)] * 2, *[(4, 1.5)] * 3, *[(8, 3.5)] * 3, *[(16, 7.5)] * 3, *[(32, 15.5)] * 2)
model = dict(
    backbone=dict(
        _delete_=True,
        type='LayeredVGG',
        depth=16,
        in_channels=1,
        out_layers=layers,
        norm_cfg=_base_.norm_cfg),
    head=dict(
        in_channels=(64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512, 4096, 4096),
        grids=grids))
