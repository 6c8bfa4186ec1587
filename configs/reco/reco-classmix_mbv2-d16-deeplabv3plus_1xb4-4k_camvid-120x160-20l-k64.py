"""Ablation (Fig. 7b): 64 keys per query instead of 256.

Other numbers: ``--cfg-options model.loss_contrast.num_keys=N``.
"""
_base_ = './reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l.py'
model = dict(loss_contrast=dict(num_keys=64))
