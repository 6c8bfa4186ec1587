"""50 labelled images."""
_base_ = './supervised_mbv2-d16-deeplabv3plus_1xb8-4k_camvid-120x160-20l.py'
labeled_list = '{{ fileDirname }}/../_base_/splits/camvid/50-seed0.txt'
labeled_dataset = dict(ann_file=labeled_list)
train_dataloader = dict(dataset=dict(ann_file=labeled_list))
