from mmseg_ssl.evaluation.dense_crf import DenseCRF, DenseCRFSegmentor
from mmseg_ssl.evaluation.hungarian_iou_metric import (
    HungarianIoUMetric,
    match_clusters,
)
from mmseg_ssl.evaluation.patch_accuracy import PatchAccuracy
from mmseg_ssl.evaluation.patch_retrieval import PatchRetrieval
from mmseg_ssl.evaluation.permutation_accuracy import PermutationAccuracy
from mmseg_ssl.evaluation.submission import (
    CityscapesSubmission,
    VOCSubmission,
)

__all__ = [
    'CityscapesSubmission', 'DenseCRF', 'DenseCRFSegmentor',
    'HungarianIoUMetric', 'PatchAccuracy', 'PatchRetrieval',
    'PermutationAccuracy', 'VOCSubmission', 'match_clusters'
]
