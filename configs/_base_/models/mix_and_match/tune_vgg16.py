# Mix-and-Match on VGG-16 with batch norm, Xavier's initialisation.
# Set data_preprocessor.size and patches on top of it.
_base_ = './tune_alexnet.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='LayeredVGG',
        depth=16,
        out_layers=('pool5', ),
        norm_cfg=_base_.norm_cfg,
        init_cfg=_base_.model.backbone.init_cfg))
