"""Cityscapes."""
from typing import Any

from mmseg.datasets import CityscapesDataset
from mmseg.registry import DATASETS

from mmseg_ssl.datasets.base import CheckedSegDataset


@DATASETS.register_module()
class CheckedCityscapesDataset(CheckedSegDataset, CityscapesDataset):
    """Cityscapes, 19 classes, that refuses missing files.

    At any size: ``tools/dataset_tools/convert_cityscapes.py`` halves the
    images, as ReCo trains on them, and writes label maps of train ids. Void
    is 255. Lists hold names like ``aachen/aachen_000000_000019``.

    Takes the arguments of :class:`mmseg.datasets.CityscapesDataset`.
    """


@DATASETS.register_module()
class Cityscapes27Dataset(CheckedSegDataset):
    """Cityscapes with all 27 classes that are not void, 17 stuff and 10
    things, the benchmark of PiCIE and FS4.

    Label maps, ``*_gtFine_label27Ids.png``, hold label ids 7 to 33 as 0 to 26
    and 255 for void; ``tools/dataset_tools/convert_cityscapes.py --classes
    27`` writes them. Things are the classes whose instances Cityscapes tells
    apart, 17 to 26.

    Takes the arguments of :class:`mmseg.datasets.BaseSegDataset`.
    """
    METAINFO = dict(
        classes=('road', 'sidewalk', 'parking', 'rail track', 'building',
                 'wall', 'fence', 'guard rail', 'bridge', 'tunnel', 'pole',
                 'polegroup', 'traffic light', 'traffic sign', 'vegetation',
                 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus',
                 'caravan', 'trailer', 'train', 'motorcycle', 'bicycle'),
        palette=[[128, 64, 128], [244, 35, 232], [250, 170, 160],
                 [230, 150, 140], [70, 70, 70], [102, 102, 156],
                 [190, 153, 153], [180, 165, 180], [150, 100, 100],
                 [150, 120, 90], [153, 153, 153], [110, 110, 110],
                 [250, 170, 30], [220, 220, 0], [107, 142, 35],
                 [152, 251, 152], [70, 130, 180], [220, 20, 60], [255, 0, 0],
                 [0, 0, 142], [0, 0, 70], [0, 60, 100], [0, 0, 90],
                 [0, 0, 110], [0, 80, 100], [0, 0, 230], [119, 11, 32]])

    def __init__(self,
                 img_suffix: str = '_leftImg8bit.png',
                 seg_map_suffix: str = '_gtFine_label27Ids.png',
                 **kwargs: Any) -> None:
        super().__init__(
            img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
