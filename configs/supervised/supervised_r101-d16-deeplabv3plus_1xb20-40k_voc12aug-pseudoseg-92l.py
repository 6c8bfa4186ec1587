"""The baseline: 92 labelled images of VOC's own training set (Table 2).

The setting of PseudoSeg. 183, 366 or 732 images, and other seeds:
``labeled_list``; docs/datasets.md says how.
"""
_base_ = './supervised_r101-d16-deeplabv3plus_1xb20-40k_voc12aug-60l.py'
labeled_list = ('{{ fileDirname }}/../_base_/splits/voc12aug-pseudoseg/'
                '92-seed0.txt')
labeled_dataset = dict(ann_file=labeled_list)
train_dataloader = dict(dataset=dict(ann_file=labeled_list))
