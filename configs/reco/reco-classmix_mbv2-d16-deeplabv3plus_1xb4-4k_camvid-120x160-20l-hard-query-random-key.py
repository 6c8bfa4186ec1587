"""Ablation (Table 4): hard queries, keys from all other classes alike."""
_base_ = './reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l.py'
model = dict(loss_contrast=dict(key_sampling='random'))
