"""PiCIE from MoCo v2 further trained on COCO-Stuff-27. Not run yet."""
_base_ = './picie-mocov2-in1k_r50-fpn_1xb128-10e_coco-stuff27-320x320.py'
iss_checkpoint = 'work_dirs/fs4-iss-mocov2_r50_1xb256-100e_coco-stuff27-224x224/epoch_100.pth'
model = dict(
    encoder=dict(backbone=dict(init_cfg=dict(checkpoint=iss_checkpoint))))
