"""PASCAL VOC 2012 with the labels of SBD."""
from mmseg.datasets import PascalVOCDataset
from mmseg.registry import DATASETS

from mmseg_ssl.datasets.base import CheckedSegDataset


@DATASETS.register_module()
class VOC12AugDataset(CheckedSegDataset, PascalVOCDataset):
    """PASCAL VOC 2012 (21 classes with background) that refuses missing files.

    10,582 training images: those of VOC and those that Hariharan et al.,
    `Semantic contours from inverse detectors
    <https://doi.org/10.1109/ICCV.2011.6126343>`_ (SBD), labelled. Their label
    maps are together in ``SegmentationClassAug``, as
    ``tools/dataset_tools/convert_voc12aug.py`` writes them. Void is 255.

    Takes the arguments of :class:`mmseg.datasets.PascalVOCDataset`.
    """
