"""Ablation (Fig. 7a): 32 queries per class instead of 128.

Other numbers: ``--cfg-options model.loss_contrast.num_queries=N``.
"""
_base_ = './reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l.py'
model = dict(loss_contrast=dict(num_queries=32))
