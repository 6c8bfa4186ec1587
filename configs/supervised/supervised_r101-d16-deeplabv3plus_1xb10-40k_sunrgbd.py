"""All 9,860 images of SUN RGB-D with their labels."""
_base_ = './supervised_r101-d16-deeplabv3plus_1xb10-40k_sunrgbd-50l.py'

labeled_list = ''  # of all images
labeled_dataset = dict(ann_file=labeled_list)
train_dataloader = dict(dataset=dict(ann_file=labeled_list))
