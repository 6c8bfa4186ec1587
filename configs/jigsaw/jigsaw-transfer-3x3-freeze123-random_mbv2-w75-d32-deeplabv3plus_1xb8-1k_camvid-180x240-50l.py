"""The same, but the other blocks start at random."""
_base_ = './jigsaw-transfer-3x3-freeze123_mbv2-w75-d32-deeplabv3plus_1xb8-1k_camvid-180x240-50l.py'
random = ['block4', 'block5']
model = dict(transfer=dict(random=random))
