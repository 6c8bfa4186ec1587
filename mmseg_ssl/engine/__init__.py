from mmseg_ssl.engine.bfloat16_optimizer import BFloat16OptimWrapper
from mmseg_ssl.engine.epoch_loop import (
    ClusteringLoop,
    ResumableEpochLoop,
    ResumableSampler,
)
from mmseg_ssl.engine.hooks import (
    ChannelsLastHook,
    ClassRelationHook,
    ClusteringSpreadHook,
    MeanTeacherHook,
    OfflineClusteringHook,
    PreflightHook,
    ProcessMemoryHook,
    PseudoLabelHook,
    RandomSeedHook,
)
from mmseg_ssl.engine.joint_optimizers import (
    JointOptimWrapperConstructor,
    JointOptimWrapperDict,
)
from mmseg_ssl.engine.loops import TeacherStudentValLoop

__all__ = [
    'BFloat16OptimWrapper',
    'ChannelsLastHook',
    'ClassRelationHook',
    'ClusteringLoop',
    'ClusteringSpreadHook',
    'JointOptimWrapperConstructor',
    'JointOptimWrapperDict',
    'MeanTeacherHook',
    'OfflineClusteringHook',
    'PreflightHook',
    'ProcessMemoryHook',
    'PseudoLabelHook',
    'RandomSeedHook',
    'ResumableEpochLoop',
    'ResumableSampler',
    'TeacherStudentValLoop',
]
