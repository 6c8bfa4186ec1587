"""Graphs of 100 patches of CamVid on half an AlexNet, sized for two cores."""
_base_ = [
    '../_base_/models/mix_and_match/tune_alexnet.py',
    '../_base_/datasets/mix_and_match/camvid_120x160.py',
    '../_base_/schedules/sgd_1k_mix_and_match.py',
    '../_base_/default_runtime.py',
]
# ---- frequently modified ----
num_per_image = 10  # times 10 images: nodes of a graph
size_range = (16, 60)  # sides of patches in pixels; the paper's 64-256 of 512
out_size = 64  # side of the resized patches; the paper has 128
matching = 'graph'  # or 'random' triplets

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(channels=(48, 128, 192, 192, 128), stem_stride=2),
    patches=dict(
        num_per_image=num_per_image, size_range=size_range, out_size=out_size),
    matching=matching)
default_hooks = dict(checkpoint=dict(save_best='nn_acc', rule='greater'))
