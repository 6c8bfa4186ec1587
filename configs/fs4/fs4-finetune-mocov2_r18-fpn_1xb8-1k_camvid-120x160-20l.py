"""The network of FS4 from MoCo v2 with few labels, to compare with."""
_base_ = './fs4-finetune_r18-fpn_1xb8-1k_camvid-120x160-20l.py'
iss_checkpoint = 'work_dirs/fs4-iss-mocov2_r18_1xb32-40e_camvid-120x160/epoch_40.pth'
model = dict(
    backbone=dict(
        encoder=dict(
            init_cfg=None,
            backbone=dict(
                init_cfg=dict(
                    type='Pretrained',
                    checkpoint=iss_checkpoint,
                    prefix='backbone.')))))
