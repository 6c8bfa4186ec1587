"""The paper's 3x3 puzzles: patches of 192 pixels of crops of 576."""
_base_ = [
    '../_base_/models/jigsaw_mbv2-w75.py',
    '../_base_/datasets/jigsaw/cityscapes.py',
    '../_base_/schedules/sgd_50k_jigsaw.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=dict(size=_base_.crop_size))
# Transfer starts from 20k, 30k and 50k iterations.
default_hooks = dict(
    checkpoint=dict(
        interval=10000,
        max_keep_ckpts=-1,
        save_best='movable_acc',
        rule='greater'))
