"""CamVid."""
from mmseg.registry import DATASETS

from mmseg_ssl.datasets.base import CheckedSegDataset


@DATASETS.register_module()
class CamVidDataset(CheckedSegDataset):
    """Street scenes from a driving car, 11 classes, 480 x 360 pixels.

    Brostow, Fauqueur and Cipolla, `Semantic object classes in video: a
    high-definition ground truth database
    <https://doi.org/10.1016/j.patrec.2008.04.005>`_, in the reduced form of
    SegNet: 367 training, 101 validation and 233 test images. Void is 255.

    Takes the arguments of :class:`mmseg.datasets.BaseSegDataset`; images end
    with '.jpg' and label maps with '.png' by default.
    """
    METAINFO = dict(
        classes=('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree',
                 'SignSymbol', 'Fence', 'Car', 'Pedestrian', 'Bicyclist'),
        palette=[[128, 128, 128], [128, 0, 0], [192, 192, 128],
                 [128, 64, 128], [60, 40, 222], [128, 128, 0],
                 [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0],
                 [0, 128, 192]])
