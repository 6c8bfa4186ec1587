"""Puzzles of 3x3 patches of the MSRC-21 training images, sized for two cores."""
_base_ = [
    '../_base_/models/jigsaw_mbv2-w75.py',
    '../_base_/datasets/jigsaw/msrc21_180.py',
    '../_base_/schedules/sgd_2k.py',
    '../_base_/default_runtime.py',
]
# ---- frequently modified ----
grid = 3  # odd; a patch must hold a cell, 32 pixels
gap = 0  # pixels between tiles
tile_norm = False  # normalise each tile on its own
grey_prob = 0.0  # share of images without colour

model = dict(
    grid=grid,
    gap=gap,
    tile_norm=tile_norm,
    grey_prob=grey_prob,
    data_preprocessor=dict(size=_base_.crop_size))
default_hooks = dict(
    checkpoint=dict(save_best='movable_acc', rule='greater'))
