"""Label list and random numbers of seed 1."""
_base_ = './jigsaw-transfer-5x5-60-from-3x3_mbv2-w75-d32-deeplabv3plus_1xb8-1k_camvid-180x240-50l.py'
labeled_list = '{{ fileDirname }}/../_base_/splits/camvid/50-seed1.txt'
labeled_dataset = dict(ann_file=labeled_list)
train_dataloader = dict(dataset=dict(ann_file=labeled_list))
randomness = dict(seed=1)
