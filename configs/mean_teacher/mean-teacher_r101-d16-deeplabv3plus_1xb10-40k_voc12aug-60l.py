"""Mean teacher without mixing."""
_base_ = ('./mean-teacher-classmix_r101-d16-deeplabv3plus_'
          '1xb10-40k_voc12aug-60l.py')
model = dict(mixing=None)
