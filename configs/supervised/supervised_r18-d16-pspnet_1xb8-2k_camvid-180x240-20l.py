_base_ = [
    '../_base_/models/pspnet_r18-d16.py',
    '../_base_/datasets/camvid_180x240.py',
    '../_base_/schedules/sgd_2k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes))
