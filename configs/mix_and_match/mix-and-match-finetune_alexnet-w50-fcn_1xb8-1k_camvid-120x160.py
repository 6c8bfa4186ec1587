"""Fine-tuning of half an AlexNet on all labels of CamVid, for two cores."""
_base_ = [
    '../_base_/models/mix_and_match/fcn_alexnet.py',
    '../_base_/datasets/camvid_120x160.py',
    '../_base_/schedules/sgd_1k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    # cells share the image evenly only if its sides are multiples of 16
    data_preprocessor=dict(
        size=(128, 160), test_cfg=dict(size_divisor=16)),
    backbone=dict(
        channels=(48, 128, 192, 192, 128),
        fc_channels=512,
        stem_stride=2,
        stem_padding=51,  # sides of 16 n give n cells, the first at pixel 8
        dropout_ratio=0.1),  # little, as bn7 stands behind it
    decode_head=dict(
        num_classes=_base_.num_classes, in_channels=512, channels=512))
optim_wrapper = dict(optimizer=dict(lr=0.01))
train_dataloader = dict(dataset=dict(ann_file=''))  # all labels
