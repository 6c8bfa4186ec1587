"""Own images: check a folder, choose, and write the configs to train with."""
from mmseg_ssl.datasets.folder.dataset import FolderDataset, LoadLabelValues
from mmseg_ssl.datasets.folder.hold_out import hold_out
from mmseg_ssl.datasets.folder.scan import (
    FolderScan,
    FolderSpec,
    read_classes,
    scan_folder,
)
from mmseg_ssl.datasets.folder.summary import summarize
from mmseg_ssl.datasets.folder.writing import (
    Prepared,
    Request,
    prepare_folder,
)

__all__ = [
    'FolderDataset',
    'FolderScan',
    'FolderSpec',
    'LoadLabelValues',
    'Prepared',
    'Request',
    'hold_out',
    'prepare_folder',
    'read_classes',
    'scan_folder',
    'summarize',
]
