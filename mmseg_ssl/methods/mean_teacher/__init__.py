from mmseg_ssl.methods.mean_teacher.ema import TeacherEMA
from mmseg_ssl.methods.mean_teacher.mean_teacher import MeanTeacher
from mmseg_ssl.methods.mean_teacher.mixing import classmix, cutmix, cutout

__all__ = ['MeanTeacher', 'TeacherEMA', 'classmix', 'cutmix', 'cutout']
