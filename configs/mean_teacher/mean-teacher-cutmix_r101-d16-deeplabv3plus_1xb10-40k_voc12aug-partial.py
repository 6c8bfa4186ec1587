"""Mean teacher + CutMix: a few labelled pixels in every image."""
_base_ = ('./mean-teacher-classmix_r101-d16-deeplabv3plus_'
          '1xb10-40k_voc12aug-partial.py')
model = dict(mixing='cutmix')
