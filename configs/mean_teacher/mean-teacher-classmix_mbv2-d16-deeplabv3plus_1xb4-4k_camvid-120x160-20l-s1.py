"""Label list and random numbers of seed 1."""
_base_ = ('./mean-teacher-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_'
          'camvid-120x160-20l.py')
labeled_list = '{{ fileDirname }}/../_base_/splits/camvid/20-seed1.txt'
train_dataloader = dict(dataset=dict(labeled=dict(ann_file=labeled_list)))
randomness = dict(seed=1)
