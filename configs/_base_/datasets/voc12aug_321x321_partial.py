# PASCAL VOC with SBD, every training image with labels for a few of its pixels
# (tools/dataset_tools/make_partial_labels.py; docs/datasets.md has the command).
_base_ = './voc12aug_321x321.py'
# Folder of the partial label maps, absolute or below data_root: p1 (one pixel
# per class and image), p1pct, p5pct or p25pct, and seed 0, 1 or 2. From the
# command line: --cfg-options partial_labels=partial_labels/train-p5pct-seed1
partial_labels = 'partial_labels/train-p1-seed0'
labeled_list = 'ImageSets/Segmentation/trainaug.txt'  # of all images

labeled_dataset = dict(
    ann_file=labeled_list, data_prefix=dict(seg_map_path=partial_labels))
# The same images again, whose labels override the teacher.
unlabeled_dataset = dict(
    _delete_=True,
    type=_base_.dataset_type,
    data_root=_base_.data_root,
    ann_file=labeled_list,
    data_prefix=dict(img_path='JPEGImages', seg_map_path=partial_labels),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='RandomCrop', crop_size=_base_.crop_size),
        dict(type='PackSegInputs'),
    ])
train_dataloader = dict(
    dataset=dict(
        ann_file=labeled_list, data_prefix=dict(seg_map_path=partial_labels)))
