"""FS4 with 200 clusters of images."""
_base_ = './fs4_r18-fpn_1xb16-10e_msrc21-112x112.py'
global_clusters = 200
pyramid_dir = f'work_dirs/fs4-pyramid-mocov2-{global_clusters}_msrc21-112x112'
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[1].label_file = f'{pyramid_dir}/labels.npz'
train_dataloader = dict(dataset=dict(pipeline=unlabeled_pipeline))
model = dict(global_head=dict(num_clusters=global_clusters))
pyramid_labels = dict(
    out_dir=pyramid_dir,
    # the features do not depend on the number
    feature_dir='work_dirs/fs4-pyramid-mocov2-25_msrc21-112x112/features',
    num_clusters=global_clusters)
