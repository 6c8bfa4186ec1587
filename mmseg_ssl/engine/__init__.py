from mmseg_ssl.engine.hooks import (
    MeanTeacherHook,
    PreflightHook,
    RandomSeedHook,
)
from mmseg_ssl.engine.loops import TeacherStudentValLoop

__all__ = [
    'MeanTeacherHook', 'PreflightHook', 'RandomSeedHook',
    'TeacherStudentValLoop'
]
