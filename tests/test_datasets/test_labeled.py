"""CamVid, MSRC-21 and what all dataset classes check when built."""
import os
from pathlib import Path

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_ssl.datasets import CamVidDataset, MSRC21Dataset

PREFIX = dict(img_path='img_dir/train', seg_map_path='ann_dir/train')


@pytest.fixture
def root(tmp_path) -> Path:
    """Three images with label maps: b, a and sub/c."""
    for name in ('b', 'a', 'sub/c'):
        image = tmp_path / 'img_dir/train' / f'{name}.jpg'
        label = tmp_path / 'ann_dir/train' / f'{name}.png'
        for path in (image, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (8, 6)).save(image)
        Image.fromarray(np.full((6, 8), 3, np.uint8)).save(label)
    return tmp_path


def build(root, text=None, **kwargs):
    if text is not None:
        (root / 'list.txt').write_text(text)
        kwargs['ann_file'] = 'list.txt'
    return CamVidDataset(data_root=str(root), data_prefix=PREFIX, **kwargs)


def names(dataset):
    folder = dataset.data_prefix['img_path']
    return [os.path.relpath(dataset.get_data_info(i)['img_path'], folder)
            for i in range(len(dataset))]


def test_folder_is_sorted(root):
    assert names(build(root)) == ['a.jpg', 'b.jpg', 'sub/c.jpg']


def test_list_keeps_its_order(root):
    dataset = build(root, 'sub/c\na\n')
    assert names(dataset) == ['sub/c.jpg', 'a.jpg']
    assert dataset.get_data_info(0)['seg_map_path'] == str(
        root / 'ann_dir/train/sub/c.png')


def test_indices(root):
    assert names(build(root, indices=[2, 0])) == ['sub/c.jpg', 'a.jpg']


def test_missing_list(root):
    with pytest.raises(FileNotFoundError, match=r"gone\.txt' does not exist"):
        build(root, ann_file='gone.txt')


def test_list_that_is_a_folder(root):
    """mmseg would silently take every image of the folder."""
    with pytest.raises(FileNotFoundError, match='img_dir'):
        build(root, ann_file='img_dir')


@pytest.mark.parametrize('text', ['', 'a\n\nb\n', '\n'])
def test_list_with_nothing_in_it(root, text):
    with pytest.raises(ValueError, match=r'list\.txt.*empty line'):
        build(root, text)


def test_missing_image_of_list(root):
    with pytest.raises(FileNotFoundError, match=(
            r"train/z\.jpg' of the list '.*list\.txt' does not exist")):
        build(root, 'a\nz\n')


@pytest.mark.parametrize('text', [None, 'a\n'])
def test_missing_label_map(root, text):
    (root / 'ann_dir/train/a.png').unlink()
    with pytest.raises(FileNotFoundError, match=(
            r"train/a\.jpg' has no label map, expected '.*train/a\.png'")):
        build(root, text)


def test_missing_folder(root):
    with pytest.raises(FileNotFoundError, match=(
            r"elsewhere/img_dir/train' does not exist; set data_root")):
        build(root / 'elsewhere')


def test_folder_without_images(root):
    with pytest.raises(ValueError, match=(
            r"train' holds no image with suffix '\.tif'")):
        build(root, img_suffix='.tif')


def test_images_without_label_maps(root):
    """A test split whose labels are withheld."""
    (root / 'ann_dir/train/a.png').unlink()
    dataset = CamVidDataset(
        data_root=str(root), data_prefix=dict(img_path='img_dir/train'))
    assert len(dataset) == 3
    assert 'seg_map_path' not in dataset.get_data_info(0)


@pytest.mark.parametrize('kind, num_classes', [
    (CamVidDataset, 11), (MSRC21Dataset, 21)])
def test_classes(kind, num_classes):
    assert len(kind.METAINFO['classes']) == num_classes
    colours = {tuple(colour) for colour in kind.METAINFO['palette']}
    assert len(colours) == num_classes
    assert DATASETS.get(kind.__name__) is kind


@pytest.mark.parametrize('kind, folder, counts', [
    (CamVidDataset, 'camvid', dict(train=367, val=101)),
    (MSRC21Dataset, 'msrc21', dict(train=335, val=58))])
def test_real_images(kind, folder, counts):
    if 'MMSEG_SSL_DATA_ROOT' not in os.environ:
        pytest.skip('set MMSEG_SSL_DATA_ROOT to the folder of the datasets')
    root = os.path.join(os.environ['MMSEG_SSL_DATA_ROOT'], folder)
    for split, count in counts.items():
        dataset = kind(
            data_root=root,
            data_prefix=dict(img_path=f'img_dir/{split}',
                             seg_map_path=f'ann_dir/{split}'),
            pipeline=[dict(type='LoadImageFromFile'),
                      dict(type='LoadAnnotations')])
        assert len(dataset) == count
        sample = dataset[0]
        assert sample['img'].shape[:2] == sample['gt_seg_map'].shape
        labels = set(np.unique(sample['gt_seg_map'])) - {255}
        assert labels <= set(range(len(dataset.metainfo['classes'])))
