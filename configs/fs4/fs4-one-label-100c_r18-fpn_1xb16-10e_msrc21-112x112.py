"""One label an image (ablation: CAE + GG) with 100 clusters of images."""
_base_ = './fs4-100c_r18-fpn_1xb16-10e_msrc21-112x112.py'
model = dict(global_head=dict(type='CAMHead'))
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[1].views = 'whole'
train_dataloader = dict(dataset=dict(pipeline=unlabeled_pipeline))
