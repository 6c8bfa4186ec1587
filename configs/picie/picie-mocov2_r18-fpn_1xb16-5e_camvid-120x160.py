"""PiCIE from MoCo v2 on the same images (configs/fs4/fs4-iss-mocov2_*)."""
_base_ = './picie_r18-fpn_1xb16-5e_camvid-120x160.py'
iss_checkpoint = 'work_dirs/fs4-iss-mocov2_r18_1xb32-40e_camvid-120x160/epoch_40.pth'
lr = 3e-4  # a third of that from scratch, so that what MoCo v2 learned is not lost

model = dict(
    encoder=dict(
        backbone=dict(
            init_cfg=dict(
                type='Pretrained',
                checkpoint=iss_checkpoint,
                prefix='backbone.'))))
optim_wrapper = dict(optimizer=dict(lr=lr))
