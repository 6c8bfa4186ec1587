"""Ablation (section 4.4): keys from a bank of features of earlier batches."""
_base_ = './reco-classmix_r101-d16-deeplabv3plus_1xb2-40k_cityscapes-20l.py'

# ---- frequently modified ----
bank_size = 2048  # embeddings of each class that are kept
num_stored = 256  # of them, new ones of each class in each iteration

model = dict(
    loss_contrast=dict(
        type='FeatureBankContrastLoss',
        num_classes=_base_.num_classes,
        embed_channels=_base_.embed_channels,
        bank_size=bank_size,
        num_stored=num_stored))
