"""Ablation (Table 4): queries and keys drawn from all pixels alike."""
_base_ = './reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l.py'
model = dict(
    loss_contrast=dict(query_sampling='random', key_sampling='random'))
