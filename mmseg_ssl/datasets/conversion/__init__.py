"""From official downloads to folders that the dataset classes read.

A converter looks for everything it needs before it writes anything, keeps what
an earlier call has written, and writes a file whole or not at all.
"""
from mmseg_ssl.datasets.conversion.cityscapes import convert_cityscapes
from mmseg_ssl.datasets.conversion.coco_stuff27 import convert_coco_stuff27
from mmseg_ssl.datasets.conversion.sunrgbd import convert_sunrgbd
from mmseg_ssl.datasets.conversion.voc12aug import convert_voc12aug

__all__ = [
    'convert_cityscapes', 'convert_coco_stuff27', 'convert_sunrgbd',
    'convert_voc12aug'
]
