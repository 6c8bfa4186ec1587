"""The network of FS4 from MoCo v2 with few labels, to compare with."""
_base_ = './fs4-finetune_r18-fpn_1xb8-1k_msrc21-112x112-21l.py'
iss_checkpoint = 'work_dirs/fs4-iss-mocov2_r18_1xb32-100e_msrc21-112x112/epoch_100.pth'
model = dict(
    backbone=dict(
        encoder=dict(
            init_cfg=None,
            backbone=dict(
                init_cfg=dict(
                    type='Pretrained',
                    checkpoint=iss_checkpoint,
                    prefix='backbone.')))))
