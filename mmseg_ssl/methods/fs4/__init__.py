from mmseg_ssl.methods.fs4.cam_heads import CAMHead, ModifiedCAMHead
from mmseg_ssl.methods.fs4.context_aware_embedding import ContextAwareEmbedding
from mmseg_ssl.methods.fs4.context_encoder import ContextPixelEncoder
from mmseg_ssl.methods.fs4.fs4 import FS4
from mmseg_ssl.methods.fs4.pyramid_labels import (
    FeatureCache,
    PooledFeatures,
    build_network,
    make_pyramid_labels,
)
from mmseg_ssl.methods.fs4.pyramid_labels_hook import PyramidLabelsHook
from mmseg_ssl.methods.fs4.pyramid_view import (
    PyramidLabels,
    RandomPyramidView,
)
from mmseg_ssl.methods.fs4.split_batch_norm import SplitBatchNorm2d

__all__ = [
    'FS4', 'CAMHead', 'ContextAwareEmbedding', 'ContextPixelEncoder',
    'FeatureCache', 'ModifiedCAMHead', 'PooledFeatures', 'PyramidLabels',
    'PyramidLabelsHook', 'RandomPyramidView', 'SplitBatchNorm2d',
    'build_network', 'make_pyramid_labels'
]
