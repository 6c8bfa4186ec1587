"""Painted stand-ins are read as the data sets that they stand for."""
import numpy as np
import pytest
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS
from PIL import Image


@pytest.fixture(scope='module')
def painted(tmp_path_factory, project_root, run_tool):
    folder = tmp_path_factory.mktemp('painted')
    code, output = run_tool(
        'python', project_root / 'tools/dataset_tools/paint_stand_ins.py',
        folder)
    assert code == 0, output
    return folder


# the least numbers are those of the commands in docs/datasets.md
@pytest.mark.parametrize('name, folder, options, count, least_classes', [
    ('CamVidDataset', 'camvid', {}, 229, 9),
    ('MSRC21Dataset', 'msrc21', {}, 59, 1),
    ('VOC12AugDataset', 'VOCdevkit/VOC2012', dict(
        ann_file='ImageSets/Segmentation/trainaug.txt',
        data_prefix=dict(img_path='JPEGImages',
                         seg_map_path='SegmentationClassAug')), 1323, 3),
    ('CheckedCityscapesDataset', 'cityscapes_512x1024', dict(
        data_prefix=dict(img_path='leftImg8bit/train',
                         seg_map_path='gtFine/train')), 1488, 12),
    ('SUNRGBDDataset', 'sunrgbd', {}, 500, 1),
])
def test_data_sets(painted, name, folder, options, count, least_classes):
    usual = dict(data_prefix=dict(img_path='img_dir/train',
                                  seg_map_path='ann_dir/train'))
    dataset = DATASETS.build(dict(
        type=name, data_root=str(painted / folder), serialize_data=False,
        **(usual | options)))
    assert len(dataset) >= count
    for i in (0, 1, len(dataset) - 1):
        info = dataset.get_data_info(i)
        labels = LoadAnnotations()(info)['gt_seg_map']
        with Image.open(info['img_path']) as image:
            assert image.size == labels.shape[::-1]
        found = {*np.unique(labels).tolist()} - {255}
        assert max(found) < len(dataset.metainfo['classes'])
        assert len(found) >= least_classes
