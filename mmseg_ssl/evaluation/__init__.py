from mmseg_ssl.evaluation.hungarian_iou_metric import (
    HungarianIoUMetric,
    match_clusters,
)
from mmseg_ssl.evaluation.patch_accuracy import PatchAccuracy

__all__ = ['HungarianIoUMetric', 'PatchAccuracy', 'match_clusters']
