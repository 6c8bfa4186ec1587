from mmseg_ssl.methods.picie.encoders import (
    BilinearFPN,
    EncoderBackbone,
    PixelEncoder,
    RawPixels,
)
from mmseg_ssl.methods.picie.losses import (
    cluster_loss,
    cluster_scores,
    head_weights,
    nearest_clusters,
)
from mmseg_ssl.methods.picie.mdc import MDC, KMeansSegmentor
from mmseg_ssl.methods.picie.picie import PiCIE, Views
from mmseg_ssl.methods.picie.pixel_clustering import PixelClustering
from mmseg_ssl.methods.picie.views import (
    Geometry,
    RandomGeometry,
    RandomPhotometry,
)

__all__ = [
    'MDC', 'BilinearFPN', 'EncoderBackbone', 'Geometry', 'KMeansSegmentor',
    'PiCIE', 'PixelClustering', 'PixelEncoder', 'RandomGeometry',
    'RandomPhotometry', 'RawPixels', 'Views', 'cluster_loss',
    'cluster_scores', 'head_weights', 'nearest_clusters'
]
