"""Ablation (Table 4): hard queries, keys from all other classes alike."""
_base_ = './reco-classmix_r101-d16-deeplabv3plus_1xb2-40k_cityscapes-20l.py'
model = dict(loss_contrast=dict(key_sampling='random'))
