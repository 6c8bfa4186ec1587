from mmseg_ssl.backbones.alexnet import CaffeAlexNet
from mmseg_ssl.backbones.mobilenet_v2 import MobileNetV2WithLast
from mmseg_ssl.backbones.receptive_field import (
    ReceptiveField,
    receptive_fields,
)

__all__ = [
    'CaffeAlexNet', 'MobileNetV2WithLast', 'ReceptiveField',
    'receptive_fields'
]
