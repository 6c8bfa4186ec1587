"""FS4 with one label an image and the classic CAM head (ablation: CAE + GG)."""
_base_ = './fs4_r18-fpn_1xb16-10e_msrc21-112x112.py'
model = dict(global_head=dict(type='CAMHead'))
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[1].views = 'whole'
train_dataloader = dict(dataset=dict(pipeline=unlabeled_pipeline))
