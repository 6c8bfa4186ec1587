"""Ablation (Table 4): queries of which the student is sure already."""
_base_ = './reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l.py'
model = dict(loss_contrast=dict(query_sampling='easy'))
