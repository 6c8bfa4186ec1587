"""PiCIE from MoCo v2 on the same images (configs/fs4/fs4-iss-mocov2_*)."""
_base_ = './picie_r18-fpn_1xb16-10e_msrc21-112x112.py'
iss_checkpoint = 'work_dirs/fs4-iss-mocov2_r18_1xb32-100e_msrc21-112x112/epoch_100.pth'
lr = 3e-4  # a third of that from scratch, so that what MoCo v2 learned is not lost

model = dict(
    encoder=dict(
        backbone=dict(
            init_cfg=dict(
                type='Pretrained',
                checkpoint=iss_checkpoint,
                prefix='backbone.'))))
optim_wrapper = dict(optimizer=dict(lr=lr))
