from mmseg_ssl.apis.checkpoints import load_segmentor
from mmseg_ssl.apis.ensemble import SegmentorEnsemble
from mmseg_ssl.apis.publishing import publish, publish_onnx
from mmseg_ssl.apis.segmenter import Segmentation, Segmenter
from mmseg_ssl.apis.zoo import find_model

__all__ = [
    'Segmentation',
    'Segmenter',
    'SegmentorEnsemble',
    'find_model',
    'load_segmentor',
    'publish',
    'publish_onnx'
]
