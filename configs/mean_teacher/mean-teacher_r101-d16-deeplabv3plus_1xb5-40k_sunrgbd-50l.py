"""Mean teacher without mixing."""
_base_ = ('./mean-teacher-classmix_r101-d16-deeplabv3plus_'
          '1xb5-40k_sunrgbd-50l.py')
model = dict(mixing=None)
