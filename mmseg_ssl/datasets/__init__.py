"""Datasets, label splits and on-device augmentation."""
from mmseg_ssl.datasets.base import CheckedSegDataset
from mmseg_ssl.datasets.camvid import CamVidDataset
from mmseg_ssl.datasets.cityscapes import (
    CheckedCityscapesDataset,
    Cityscapes27Dataset,
)
from mmseg_ssl.datasets.coco_stuff27 import COCOStuff27Dataset
from mmseg_ssl.datasets.data_preprocessor import SemiSegDataPreProcessor
from mmseg_ssl.datasets.folder import FolderDataset, LoadLabelValues
from mmseg_ssl.datasets.msrc21 import MSRC21Dataset
from mmseg_ssl.datasets.scenes import ProceduralScenesDataset
from mmseg_ssl.datasets.semi import SemiSegDataset
from mmseg_ssl.datasets.sunrgbd import SUNRGBDDataset
from mmseg_ssl.datasets.unlabeled import UnlabeledDataset
from mmseg_ssl.datasets.voc12aug import VOC12AugDataset

__all__ = [
    'COCOStuff27Dataset',
    'CamVidDataset',
    'CheckedCityscapesDataset',
    'CheckedSegDataset',
    'Cityscapes27Dataset',
    'FolderDataset',
    'LoadLabelValues',
    'MSRC21Dataset',
    'ProceduralScenesDataset',
    'SUNRGBDDataset',
    'SemiSegDataPreProcessor',
    'SemiSegDataset',
    'UnlabeledDataset',
    'VOC12AugDataset',
]
