from mmseg_ssl.methods.mean_teacher.ema import TeacherEMA
from mmseg_ssl.methods.mean_teacher.mean_teacher import MeanTeacher
from mmseg_ssl.methods.mean_teacher.mixing import classmix, cutmix, cutout
from mmseg_ssl.methods.mean_teacher.partial_labels import (
    GivenLabels,
    PartialLabelMeanTeacher,
)

__all__ = [
    'GivenLabels', 'MeanTeacher', 'PartialLabelMeanTeacher', 'TeacherEMA',
    'classmix', 'cutmix', 'cutout'
]
