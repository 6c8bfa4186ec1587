"""The paper's 5x5 puzzles with patches of 115 pixels: 576 is cut to 575."""
_base_ = './jigsaw-3x3_mbv2-w75_1xb36-50k_cityscapes.py'
model = dict(grid=5)
