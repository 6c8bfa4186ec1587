from mmseg_ssl.evaluation.hungarian_iou_metric import (
    HungarianIoUMetric,
    match_clusters,
)
from mmseg_ssl.evaluation.patch_accuracy import PatchAccuracy
from mmseg_ssl.evaluation.patch_retrieval import PatchRetrieval
from mmseg_ssl.evaluation.permutation_accuracy import PermutationAccuracy

__all__ = [
    'HungarianIoUMetric', 'PatchAccuracy', 'PatchRetrieval',
    'PermutationAccuracy', 'match_clusters'
]
