_base_ = ('./mean-teacher-classmix_r101-d16-deeplabv3plus_'
          '1xb2-40k_cityscapes-20l.py')
model = dict(mixing='cutmix')
