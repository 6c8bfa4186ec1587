_base_ = ('./mean-teacher-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_'
          'camvid-120x160-20l.py')
model = dict(mixing='cutmix')
