from mmseg_ssl.engine.hooks import (
    MeanTeacherHook,
    PreflightHook,
    ProcessMemoryHook,
    RandomSeedHook,
)
from mmseg_ssl.engine.loops import TeacherStudentValLoop

__all__ = [
    'MeanTeacherHook', 'PreflightHook', 'ProcessMemoryHook', 'RandomSeedHook',
    'TeacherStudentValLoop'
]
