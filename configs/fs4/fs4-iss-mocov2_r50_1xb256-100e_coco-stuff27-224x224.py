"""MoCo v2 of ImageNet, further trained on COCO-Stuff-27 ("COCO-stuff finetune"
in the paper's ablation, which does not say for how long). Not run yet.
"""
_base_ = './fs4-iss-mocov2_r18_1xb32-100e_msrc21-112x112.py'

# ---- frequently modified ----
data_root = 'data/coco_stuff27'
load_from = 'work_dirs/mocov2_resnet50.pth'  # of mmpretrain, on ImageNet
view_size = 224
batch_size = 256
max_epochs = 100

train_pipeline = _base_.train_pipeline
train_pipeline[1].transforms[0][0].scale = view_size
train_pipeline[1].transforms[0][3].magnitude_range = (0.1, 2.0)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=16,
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
model = dict(
    queue_len=65536,
    momentum=0.001,
    backbone=dict(depth=50, norm_cfg=dict(group_size=32)),
    neck=dict(in_channels=2048, hid_channels=2048))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs,
        by_epoch=True,
        begin=0,
        end=max_epochs,
        convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=max_epochs)
