"""The baseline: one pixel of each class in every image, seed 1."""
_base_ = ('./supervised_mbv2-d16-deeplabv3plus_1xb8-1k_'
          'msrc21-112x112-partial.py')
partial_labels = 'partial_labels/train-p1-seed1'
label_maps = dict(data_prefix=dict(seg_map_path=partial_labels))
labeled_dataset = label_maps
unlabeled_dataset = label_maps
train_dataloader = dict(dataset=label_maps)
randomness = dict(seed=1)
