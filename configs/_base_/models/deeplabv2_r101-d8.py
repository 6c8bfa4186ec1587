# DeepLabV2 on ResNet-101, output stride 8, for the fractions of ReCo's
# Appendix B. Set data_preprocessor.size and decode_head.num_classes on top.
_base_ = './deeplabv3plus_r101-d16.py'
model = dict(
    backbone=dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
    decode_head=dict(
        _delete_=True,
        type='DeepLabV2Head',
        in_channels=2048,
        in_index=3,
        dilations=(6, 12, 18, 24),
        dropout_ratio=0,
        align_corners=False,
        loss_decode=dict(
            type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0)))
