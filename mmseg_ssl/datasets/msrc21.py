"""MSRC-21."""
from mmseg.registry import DATASETS

from mmseg_ssl.datasets.base import CheckedSegDataset


@DATASETS.register_module()
class MSRC21Dataset(CheckedSegDataset):
    """Photographs of objects and stuff, 21 classes, about 320 x 213 pixels.

    Shotton et al., `TextonBoost
    <https://doi.org/10.1007/s11263-007-0109-1>`_ (MSRC v2), with the labels
    cleaned by Malisiewicz and Efros (2007): 335 training, 58 validation and
    198 test images. Void, horse and mountain are 255.

    Takes the arguments of :class:`mmseg.datasets.BaseSegDataset`; images end
    with '.jpg' and label maps with '.png' by default.
    """
    METAINFO = dict(
        classes=('building', 'grass', 'tree', 'cow', 'sheep', 'sky',
                 'aeroplane', 'water', 'face', 'car', 'bicycle', 'flower',
                 'sign', 'bird', 'book', 'chair', 'road', 'cat', 'dog',
                 'body', 'boat'),
        palette=[[128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128],
                 [0, 128, 128], [128, 128, 128], [192, 0, 0], [64, 128, 0],
                 [192, 128, 0], [64, 0, 128], [192, 0, 128], [64, 128, 128],
                 [192, 128, 128], [0, 64, 0], [128, 64, 0], [0, 192, 0],
                 [128, 64, 128], [0, 192, 128], [128, 192, 128],
                 [64, 64, 0], [192, 64, 0]])
