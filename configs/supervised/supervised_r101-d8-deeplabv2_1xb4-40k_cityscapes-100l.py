"""DeepLabV2 with 100 labelled images of Cityscapes (Appendix B).

Other fractions: ``labeled_list``; docs/datasets.md says how to make them.
"""
_base_ = [
    '../_base_/models/deeplabv2_r101-d8.py',
    '../_base_/datasets/cityscapes_512x1024.py',
    '../_base_/schedules/sgd_40k_reco.py',
    '../_base_/default_runtime.py',
]
labeled_list = '{{ fileDirname }}/../_base_/splits/cityscapes-fractions/100-seed0.txt'
labeled_dataset = dict(ann_file=labeled_list)
train_dataloader = dict(dataset=dict(ann_file=labeled_list))
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes))
default_hooks = dict(checkpoint=dict(interval=2000))
