"""Linear probe: a 1x1 convolution on the frozen features of FS4, all labels."""
_base_ = [
    '../_base_/models/linear_fs4_r18-fpn.py',
    '../_base_/datasets/camvid_120x160.py',
    '../_base_/schedules/adam_1k.py',
    '../_base_/default_runtime.py',
]

# ---- frequently modified ----
trained_checkpoint = 'work_dirs/fs4_r18-fpn_1xb16-5e_camvid-120x160/iter_115.pth'
lr = 1e-2

train_dataloader = dict(dataset=dict(ann_file=''))
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(
        encoder=dict(
            init_cfg=dict(
                type='Pretrained',
                checkpoint=trained_checkpoint,
                prefix='encoder.'))),
    decode_head=dict(num_classes=_base_.num_classes))
optim_wrapper = dict(optimizer=dict(lr=lr))
