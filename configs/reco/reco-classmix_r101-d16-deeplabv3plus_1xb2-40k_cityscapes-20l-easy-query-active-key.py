"""Ablation (Table 4): queries of which the student is sure already."""
_base_ = './reco-classmix_r101-d16-deeplabv3plus_1xb2-40k_cityscapes-20l.py'
model = dict(loss_contrast=dict(query_sampling='easy'))
