"""Ablation (section 4.4): keys from a bank of features of earlier batches."""
_base_ = './reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l.py'

# ---- frequently modified ----
bank_size = 1024  # embeddings of each class that are kept
num_stored = 128  # of them, new ones of each class in each iteration

model = dict(
    loss_contrast=dict(
        type='FeatureBankContrastLoss',
        num_classes=_base_.num_classes,
        embed_channels=_base_.embed_channels,
        bank_size=bank_size,
        num_stored=num_stored))
