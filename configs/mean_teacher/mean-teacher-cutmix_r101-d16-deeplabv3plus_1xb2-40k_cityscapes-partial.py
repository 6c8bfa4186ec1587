"""Mean teacher + CutMix: a few labelled pixels in every image."""
_base_ = ('./mean-teacher-classmix_r101-d16-deeplabv3plus_'
          '1xb2-40k_cityscapes-partial.py')
model = dict(mixing='cutmix')
