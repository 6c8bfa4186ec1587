"""Label list and random numbers of seed 1."""
_base_ = ('./supervised_mbv2-d16-deeplabv3plus_1xb8-4k_'
          'camvid-120x160-20l.py')
labeled_list = '{{ fileDirname }}/../_base_/splits/camvid/20-seed1.txt'
labeled_dataset = dict(ann_file=labeled_list)
train_dataloader = dict(dataset=dict(ann_file=labeled_list))
randomness = dict(seed=1)
