_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/camvid_180x240.py',
    '../_base_/schedules/sgd_2k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes))
# Transformers do not train with the plain SGD of the schedule.
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='AdamW', lr=3e-4, weight_decay=0.01))
