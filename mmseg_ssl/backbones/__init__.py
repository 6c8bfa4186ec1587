from mmseg_ssl.backbones.alexnet import CaffeAlexNet
from mmseg_ssl.backbones.deeplab_heads import (
    DeepLabV2Head,
    PlainDeepLabV3PlusHead,
)
from mmseg_ssl.backbones.hypercolumn import HypercolumnProjection
from mmseg_ssl.backbones.hypercolumn_head import HypercolumnHead
from mmseg_ssl.backbones.mobilenet_v2 import MobileNetV2WithLast
from mmseg_ssl.backbones.receptive_field import (
    ReceptiveField,
    output_receptive_field,
    receptive_fields,
)
from mmseg_ssl.backbones.vgg import LayeredVGG

__all__ = [
    'CaffeAlexNet', 'DeepLabV2Head', 'HypercolumnHead',
    'HypercolumnProjection', 'LayeredVGG', 'MobileNetV2WithLast',
    'PlainDeepLabV3PlusHead', 'ReceptiveField', 'output_receptive_field',
    'receptive_fields'
]
