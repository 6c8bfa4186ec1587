"""Cityscapes."""
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
