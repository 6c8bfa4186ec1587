"""Ablation (Table 4): queries and keys drawn from all pixels alike."""
_base_ = './reco-classmix_r101-d16-deeplabv3plus_1xb2-40k_cityscapes-20l.py'
model = dict(
    loss_contrast=dict(query_sampling='random', key_sampling='random'))
