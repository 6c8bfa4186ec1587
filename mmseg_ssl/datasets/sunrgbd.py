"""SUN RGB-D."""
from mmseg.registry import DATASETS

from mmseg_ssl.datasets.base import CheckedSegDataset


@DATASETS.register_module()
class SUNRGBDDataset(CheckedSegDataset):
    """Indoor scenes, 37 classes, colour images alone.

    Song, Lichtenberg and Xiao, `SUN RGB-D: A RGB-D scene understanding
    benchmark suite <https://doi.org/10.1109/CVPR.2015.7298655>`_, in ReCo's
    split of 9,860 training and 475 validation images, as
    ``tools/dataset_tools/convert_sunrgbd.py`` writes them. Ids are those of
    the official labels less one; void is 255.

    Takes the arguments of :class:`mmseg.datasets.BaseSegDataset`; images end
    with '.jpg' and label maps with '.png' by default.
    """
    METAINFO = dict(
        classes=('wall', 'floor', 'cabinet', 'bed', 'chair', 'sofa', 'table',
                 'door', 'window', 'bookshelf', 'picture', 'counter',
                 'blinds', 'desk', 'shelves', 'curtain', 'dresser', 'pillow',
                 'mirror', 'floor mat', 'clothes', 'ceiling', 'books',
                 'fridge', 'tv', 'paper', 'towel', 'shower curtain', 'box',
                 'whiteboard', 'person', 'night stand', 'toilet', 'sink',
                 'lamp', 'bathtub', 'bag'),
        palette=[[128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128],
                 [128, 0, 128], [0, 128, 128], [128, 128, 128], [64, 0, 0],
                 [192, 0, 0], [64, 128, 0], [192, 128, 0], [64, 0, 128],
                 [192, 0, 128], [64, 128, 128], [192, 128, 128], [0, 64, 0],
                 [128, 64, 0], [0, 192, 0], [128, 192, 0], [0, 64, 128],
                 [128, 64, 128], [0, 192, 128], [128, 192, 128], [64, 64, 0],
                 [192, 64, 0], [64, 192, 0], [192, 192, 0], [64, 64, 128],
                 [192, 64, 128], [64, 192, 128], [192, 192, 128], [0, 0, 64],
                 [128, 0, 64], [0, 128, 64], [128, 128, 64], [0, 0, 192],
                 [128, 0, 192]])
