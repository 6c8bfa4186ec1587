"""150 labelled images."""
_base_ = './reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l.py'
labeled_list = '{{ fileDirname }}/../_base_/splits/camvid/150-seed0.txt'
train_dataloader = dict(dataset=dict(labeled=dict(ann_file=labeled_list)))
