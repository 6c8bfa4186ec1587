"""Table 2 on CamVid: block 1 from puzzles of 3x3 patches and frozen."""
_base_ = './jigsaw-transfer-3x3_mbv2-w75-d32-deeplabv3plus_1xb8-1k_camvid-180x240-50l.py'
freeze = ['block1']
model = dict(transfer=dict(freeze=freeze))
