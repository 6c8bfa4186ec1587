"""All 10,582 images of PASCAL VOC with their labels."""
_base_ = './supervised_r101-d16-deeplabv3plus_1xb20-40k_voc12aug-60l.py'

labeled_list = 'ImageSets/Segmentation/trainaug.txt'  # of all images
labeled_dataset = dict(ann_file=labeled_list)
train_dataloader = dict(dataset=dict(ann_file=labeled_list))
