"""MSRC-21 with 63 labels, the backbone from puzzles of 3x3 patches."""
_base_ = [
    '../_base_/models/deeplabv3plus_mbv2-w75-d32.py',
    '../_base_/datasets/msrc21.py',
    '../_base_/schedules/sgd_2k.py',
    '../_base_/default_runtime.py',
]
# ---- frequently modified ----
proxy = 'work_dirs/jigsaw-3x3_mbv2-w75_1xb16-2k_msrc21-180/iter_2000.pth'
freeze = []  # of block1 to block5
random = []  # blocks that do not start from the proxy
labeled_list = '{{ fileDirname }}/../_base_/splits/msrc21/63-seed0.txt'

model = dict(
    transfer=dict(checkpoint=proxy, freeze=freeze, random=random),
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes))
labeled_dataset = dict(ann_file=labeled_list)
train_dataloader = dict(dataset=dict(ann_file=labeled_list))
