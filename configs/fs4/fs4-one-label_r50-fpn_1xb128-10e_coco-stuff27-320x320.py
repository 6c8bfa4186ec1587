"""FS4 with one label an image and the classic CAM head (ablation: CAE + GG). Not run yet."""
_base_ = './fs4_r50-fpn_1xb128-10e_coco-stuff27-320x320.py'
model = dict(global_head=dict(type='CAMHead'))
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[1].views = 'whole'
train_dataloader = dict(dataset=dict(pipeline=unlabeled_pipeline))
