"""Puzzles of 5x5 patches of the CamVid training images, sized for two cores."""
_base_ = './jigsaw-3x3_mbv2-w75_1xb16-2k_camvid-180x240.py'
model = dict(grid=5)
