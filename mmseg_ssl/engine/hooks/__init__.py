from mmseg_ssl.engine.hooks.channels_last_hook import ChannelsLastHook
from mmseg_ssl.engine.hooks.class_relation_hook import ClassRelationHook
from mmseg_ssl.engine.hooks.clustering_spread_hook import ClusteringSpreadHook
from mmseg_ssl.engine.hooks.mean_teacher_hook import MeanTeacherHook
from mmseg_ssl.engine.hooks.offline_clustering_hook import (
    OfflineClusteringHook,
)
from mmseg_ssl.engine.hooks.preflight_hook import PreflightHook
from mmseg_ssl.engine.hooks.process_memory_hook import ProcessMemoryHook
from mmseg_ssl.engine.hooks.pseudo_label_hook import PseudoLabelHook
from mmseg_ssl.engine.hooks.random_seed_hook import RandomSeedHook

__all__ = [
    'ChannelsLastHook',
    'ClassRelationHook',
    'ClusteringSpreadHook',
    'MeanTeacherHook',
    'OfflineClusteringHook',
    'PreflightHook',
    'ProcessMemoryHook',
    'PseudoLabelHook',
    'RandomSeedHook',
]
