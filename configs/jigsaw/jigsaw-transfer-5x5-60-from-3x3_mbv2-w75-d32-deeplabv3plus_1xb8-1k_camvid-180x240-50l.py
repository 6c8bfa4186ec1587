"""CamVid with 50 labels, the backbone from 5x5 puzzles of larger patches, after 3x3."""
_base_ = './jigsaw-transfer-5x5_mbv2-w75-d32-deeplabv3plus_1xb8-1k_camvid-180x240-50l.py'
proxy = 'work_dirs/jigsaw-5x5-60-from-3x3_mbv2-w75_1xb6-2k_camvid-300x400/iter_2000.pth'
model = dict(transfer=dict(checkpoint=proxy))
