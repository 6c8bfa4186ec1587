from mmseg_ssl.engine.hooks import (
    ChannelsLastHook,
    MeanTeacherHook,
    PreflightHook,
    ProcessMemoryHook,
    RandomSeedHook,
)
from mmseg_ssl.engine.joint_optimizers import (
    JointOptimWrapperConstructor,
    JointOptimWrapperDict,
)
from mmseg_ssl.engine.loops import TeacherStudentValLoop

__all__ = [
    'ChannelsLastHook',
    'JointOptimWrapperConstructor',
    'JointOptimWrapperDict',
    'MeanTeacherHook',
    'PreflightHook',
    'ProcessMemoryHook',
    'RandomSeedHook',
    'TeacherStudentValLoop',
]
