# MSRC-21 at a shorter side of 112 pixels, every training image with labels
# for a few of its pixels (tools/dataset_tools/make_partial_labels.py
# --short-side 112).
_base_ = './msrc21_112x112.py'
# Folder of the partial label maps, absolute or below data_root: p1 (one pixel
# per class and image), p1pct, p5pct or p25pct, and seed 0, 1 or 2. From the
# command line: --cfg-options partial_labels=partial_labels/train-p5pct-seed1
partial_labels = 'partial_labels/train-p1-seed0'

labeled_dataset = dict(
    ann_file='', data_prefix=dict(seg_map_path=partial_labels))
# The same images again, whose labels override the teacher.
unlabeled_dataset = dict(
    _delete_=True,
    type=_base_.dataset_type,
    data_root=_base_.data_root,
    data_prefix=dict(img_path='img_dir/train', seg_map_path=partial_labels),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='Resize', scale=_base_.image_scale, keep_ratio=True),
        dict(type='RandomCrop', crop_size=_base_.crop_size),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackSegInputs'),
    ])
train_dataloader = dict(
    dataset=dict(ann_file='', data_prefix=dict(seg_map_path=partial_labels)))
