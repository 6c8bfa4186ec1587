"""Ablation (Fig. 7d): ReCo with CutMix."""
_base_ = './reco-classmix_r101-d16-deeplabv3plus_1xb2-40k_cityscapes-20l.py'
model = dict(mixing='cutmix')
