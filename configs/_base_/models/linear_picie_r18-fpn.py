# A 1x1 convolution that learns classes on PiCIE's encoder, which is frozen.
# Set data_preprocessor.size, backbone.encoder.init_cfg and
# decode_head.num_classes on top of it.
_base_ = './picie_r18-fpn.py'
model = dict(
    _delete_=True,
    type='EncoderDecoder',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(
        type='EncoderBackbone', frozen=True, encoder=_base_.model.encoder),
    decode_head=dict(
        type='FCNHead',
        in_channels=128,
        in_index=0,
        channels=128,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        align_corners=False,
        loss_decode=dict(
            type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
