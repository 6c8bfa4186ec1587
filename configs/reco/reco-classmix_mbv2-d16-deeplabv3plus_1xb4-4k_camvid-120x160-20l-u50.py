"""Ablation (Fig. 7c): 50 % of the unlabelled images."""
_base_ = './reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l.py'
# Every second image, so that all of the sequences take part.
train_dataloader = dict(dataset=dict(indices=list(range(0, 367, 2))))
