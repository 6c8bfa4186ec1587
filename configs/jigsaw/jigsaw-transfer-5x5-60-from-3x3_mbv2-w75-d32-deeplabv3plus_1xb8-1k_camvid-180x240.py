"""As its namesake with 50 labels, but with all 367."""
_base_ = './jigsaw-transfer-5x5-60-from-3x3_mbv2-w75-d32-deeplabv3plus_1xb8-1k_camvid-180x240-50l.py'
train_dataloader = dict(dataset=dict(ann_file=''))
