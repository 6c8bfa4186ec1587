"""FS4+H at the paper's size, from ImageNet labels, whose classifier layer gives
the global labels (paper: Table 6). Not run yet.
"""
_base_ = './fs4_r50-fpn_1xb128-10e_coco-stuff27-320x320.py'
pyramid_dir = 'work_dirs/fs4-pyramid-supervised_coco-stuff27'
supervised = 'torchvision://resnet18'
global_clusters = 1000  # ImageNet's classes
over_clusters = 100

unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[1].label_file = f'{pyramid_dir}/labels.npz'
train_dataloader = dict(dataset=dict(pipeline=unlabeled_pipeline))
init_cfg = dict(_delete_=True, type='Pretrained', checkpoint=supervised)
model = dict(
    encoder=dict(
        channels=128,
        backbone=dict(depth=18, init_cfg=init_cfg),
        neck=dict(in_channels=[64, 128, 256, 512], out_channels=128)),
    channels=128,
    over_clusters=over_clusters,
    global_head=dict(in_channels=128, num_clusters=global_clusters))
pyramid_labels = dict(
    network=dict(backbone=dict(depth=18, init_cfg=init_cfg)),
    out_dir=pyramid_dir,
    centres=dict(path=supervised, key='fc.weight'),
    num_clusters=None)
