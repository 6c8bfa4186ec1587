"""Linear probe of MoCo v2, the features that PiCIE and FS4 start from."""
_base_ = './picie-linear_r18-fpn_1xb8-1k_msrc21-112x112.py'
iss_checkpoint = 'work_dirs/fs4-iss-mocov2_r18_1xb32-100e_msrc21-112x112/epoch_100.pth'
model = dict(
    backbone=dict(
        encoder=dict(
            init_cfg=None,
            neck=None,
            backbone=dict(
                out_indices=(2, ),  # at 1/16 of the image
                init_cfg=dict(
                    type='Pretrained',
                    checkpoint=iss_checkpoint,
                    prefix='backbone.')))),
    decode_head=dict(in_channels=256, channels=256))
