"""Mean teacher + CutMix: a few labelled pixels in every image."""
_base_ = ('./mean-teacher-classmix_mbv2-d16-deeplabv3plus_1xb4-1k_'
          'camvid-120x160-partial.py')
model = dict(mixing='cutmix')
