"""The baseline: 5 % of the pixels of each class in every image."""
_base_ = ('./supervised_mbv2-d16-deeplabv3plus_1xb8-1k_'
          'camvid-120x160-partial.py')
partial_labels = 'partial_labels/train-p5pct-seed0'
label_maps = dict(data_prefix=dict(seg_map_path=partial_labels))
labeled_dataset = label_maps
unlabeled_dataset = label_maps
train_dataloader = dict(dataset=label_maps)
randomness = dict(seed=0)
