"""Puzzles of 5x5 patches of the MSRC-21 training images, sized for two cores."""
_base_ = './jigsaw-3x3_mbv2-w75_1xb16-2k_msrc21-180.py'
model = dict(grid=5)
