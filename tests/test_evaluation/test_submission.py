"""Files for the servers of VOC and Cityscapes."""
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.datasets import CityscapesDataset, PascalVOCDataset
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample
from PIL import Image

import mmseg_ssl  # noqa: F401


def sample(labels: np.ndarray, path: str) -> dict:
    data_sample = SegDataSample(metainfo=dict(img_path=path))
    data_sample.pred_sem_seg = PixelData(
        data=torch.from_numpy(labels.astype(np.int64))[None])
    return data_sample.to_dict()


def write(metric: dict, meta: dict, labels: np.ndarray, *paths: str) -> dict:
    writer = METRICS.build(metric)
    writer.dataset_meta = meta
    writer.process({}, [sample(labels, path) for path in paths])
    return writer.evaluate(len(paths))


def test_voc(tmp_path):
    labels = np.arange(21).repeat(10).reshape(21, 10)
    metrics = write(dict(type='VOCSubmission', output_dir=str(tmp_path)),
                    PascalVOCDataset.METAINFO, labels,
                    'JPEGImages/2008_000006.jpg', 'x/2008_000011.jpg')
    assert metrics == dict(files=2)
    folder = tmp_path / 'results/VOC2012/Segmentation/comp6_test_cls'
    assert sorted(p.name for p in folder.iterdir()) == [
        '2008_000006.png', '2008_000011.png']
    with Image.open(folder / '2008_000006.png') as image:
        assert image.mode == 'P'
        assert np.array_equal(np.asarray(image), labels)
        # aeroplane is dark red
        assert image.convert('RGB').getpixel((0, 1)) == (128, 0, 0)


def test_other_competition(tmp_path):
    write(dict(type='VOCSubmission', output_dir=str(tmp_path),
               competition='comp5', split='val'),
          PascalVOCDataset.METAINFO, np.zeros((2, 2)), 'a.jpg')
    assert (tmp_path / 'results/VOC2012/Segmentation/comp5_val_cls/a.png'
            ).is_file()


def test_cityscapes(tmp_path):
    labels = np.arange(19)[None].repeat(2, axis=0)
    name = 'berlin_000000_000019_leftImg8bit'
    metrics = write(
        dict(type='CityscapesSubmission', output_dir=str(tmp_path),
             size=(19, 2)), CityscapesDataset.METAINFO, labels,
        f'leftImg8bit/test/berlin/{name}.png')
    assert metrics == dict(files=1)
    with Image.open(tmp_path / f'{name}.png') as image:
        assert image.mode == 'L'
        ids = np.asarray(image)[0].tolist()
    assert ids == [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27,
                   28, 31, 32, 33]


def test_size_that_the_server_refuses(tmp_path):
    with pytest.raises(ValueError, match='of a is 4x3, but the server wants '
                       r'2048x1024 \(width x height\)'):
        write(dict(type='CityscapesSubmission', output_dir=str(tmp_path)),
              CityscapesDataset.METAINFO, np.zeros((3, 4)), 'a.png')
