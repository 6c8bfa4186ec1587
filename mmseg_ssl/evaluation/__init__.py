from mmseg_ssl.evaluation.hungarian_iou_metric import (
    HungarianIoUMetric,
    match_clusters,
)

__all__ = ['HungarianIoUMetric', 'match_clusters']
