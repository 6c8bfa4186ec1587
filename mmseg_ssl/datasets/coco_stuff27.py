"""COCO-Stuff-27."""
from mmseg.registry import DATASETS

from mmseg_ssl.datasets.base import CheckedSegDataset


@DATASETS.register_module()
class COCOStuff27Dataset(CheckedSegDataset):
    """COCO-Stuff with its labels merged into 27 classes, 12 things and 15
    stuff, the benchmark of IIC, PiCIE and FS4.

    Label maps hold the 27 ids, things first (0-11), and 255 for void; not the
    182 ids of COCO-Stuff's own files.

    Takes the arguments of :class:`mmseg.datasets.BaseSegDataset`; images end
    with '.jpg' and label maps with '.png' by default.
    """
    METAINFO = dict(
        classes=('electronic', 'appliance', 'food', 'furniture', 'indoor',
                 'kitchen', 'accessory', 'animal', 'outdoor', 'person',
                 'sports', 'vehicle', 'ceiling', 'floor', 'food-stuff',
                 'furniture-stuff', 'raw-material', 'textile', 'wall',
                 'window', 'building', 'ground', 'plant', 'sky', 'solid',
                 'structural', 'water'),
        palette=[[242, 12, 12], [75, 166, 101], [187, 109, 242],
                 [166, 146, 8], [109, 220, 242], [166, 75, 124],
                 [69, 242, 12], [79, 75, 166], [242, 154, 109], [8, 166, 107],
                 [232, 109, 242], [146, 166, 75], [12, 126, 242],
                 [166, 75, 93], [109, 242, 121], [68, 8, 166],
                 [242, 199, 109], [75, 166, 162], [242, 12, 183],
                 [116, 166, 75], [109, 130, 242], [166, 29, 8],
                 [109, 242, 166], [140, 75, 166], [240, 242, 12],
                 [75, 138, 166], [242, 109, 163]])
