"""One label an image (ablation: CAE + GG) with 100 clusters of images. Not run
yet.
"""
_base_ = './fs4-one-label_r50-fpn_1xb128-10e_coco-stuff27-320x320.py'
global_clusters = 100
pyramid_dir = f'work_dirs/fs4-pyramid-mocov2-{global_clusters}_coco-stuff27'
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[1].label_file = f'{pyramid_dir}/labels.npz'
train_dataloader = dict(dataset=dict(pipeline=unlabeled_pipeline))
model = dict(global_head=dict(num_clusters=global_clusters))
pyramid_labels = dict(
    out_dir=pyramid_dir,
    # the features do not depend on the number
    feature_dir='work_dirs/fs4-pyramid-mocov2-50_coco-stuff27/features',
    num_clusters=global_clusters)
