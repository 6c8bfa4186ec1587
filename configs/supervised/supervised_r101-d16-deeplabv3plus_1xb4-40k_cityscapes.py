"""All 2,975 images of Cityscapes with their labels."""
_base_ = './supervised_r101-d16-deeplabv3plus_1xb4-40k_cityscapes-20l.py'

labeled_list = ''  # of all images
labeled_dataset = dict(ann_file=labeled_list)
train_dataloader = dict(dataset=dict(ann_file=labeled_list))
