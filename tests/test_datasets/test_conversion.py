"""Official downloads become folders that the dataset classes read."""
import shutil

import numpy as np
import pytest
import scipy.io
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_ssl.datasets.conversion import (
    convert_cityscapes,
    convert_sunrgbd,
    convert_voc12aug,
)

HALF = (80, 72)  # width, height


def ids_of(path):
    return np.array(Image.open(path))


@pytest.fixture
def voc(tiny_downloads):
    return tiny_downloads.voc, tiny_downloads.sbd


@pytest.fixture
def cityscapes(tiny_downloads, tmp_path):
    return tiny_downloads.cityscapes, tmp_path / 'half', HALF


@pytest.fixture
def sunrgbd(tiny_downloads, tmp_path):
    return tiny_downloads.sunrgbd, tmp_path / 'sunrgbd'


# --- VOC --------------------------------------------------------------------


def test_voc(voc, capsys):
    assert convert_voc12aug(*voc) == 4
    assert '4/4' in capsys.readouterr().out  # the progress bar
    folder = voc[0] / 'SegmentationClassAug'
    lists = voc[0] / 'ImageSets/Segmentation'
    trainaug = (lists / 'trainaug.txt').read_text().split()
    assert trainaug == ['2007_01', '2007_02', '2008_01', '2008_02']
    assert (lists / 'aug.txt').read_text().split() == trainaug[2:]
    # VOC's own labels win where there are both.
    own = ids_of(voc[0] / 'SegmentationClass/2007_02.png')
    assert np.array_equal(ids_of(folder / '2007_02.png'), own)
    assert set(np.unique(ids_of(folder / '2008_01.png'))) == {0, 1, 15}
    dataset = DATASETS.build(dict(
        type='VOC12AugDataset', data_root=str(voc[0]),
        ann_file='ImageSets/Segmentation/trainaug.txt',
        data_prefix=dict(img_path='JPEGImages',
                         seg_map_path='SegmentationClassAug')))
    assert len(dataset) == 4


def test_what_is_there_is_kept(voc):
    convert_voc12aug(*voc)
    kept = voc[0] / 'SegmentationClassAug/2008_01.png'
    time = kept.stat().st_mtime_ns
    (voc[0] / 'SegmentationClassAug/2008_02.png').unlink()
    assert convert_voc12aug(*voc) == 1
    assert kept.stat().st_mtime_ns == time


def test_two_processes_write_the_same(voc):
    convert_voc12aug(*voc)
    folder = voc[0] / 'SegmentationClassAug'
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    convert_voc12aug(*voc, num_procs=2)
    assert first == {
        path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize('lost, message', [
    ('JPEGImages', r'no folder .*JPEGImages; .*VOC2012 should hold what '
     r'VOCdevkit/VOC2012 of VOCtrainval_11-May-2012.tar contains'),
    ('ImageSets/Segmentation/val.txt', r'the list .*val\.txt does not exist'),
    ('JPEGImages/2008_01.jpg', r'image .*2008_01\.jpg does not exist '
     r'\(1 of 6 are missing\)'),
    ('JPEGImages/2007_04.jpg', r'image .*2007_04\.jpg does not exist'),
    ('SegmentationClass/2007_04.png',
     r'label map .*2007_04\.png does not exist'),
])
def test_voc_without(voc, lost, message):
    path = voc[0] / lost
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(FileNotFoundError, match=message):
        convert_voc12aug(*voc)
    assert not (voc[0] / 'SegmentationClassAug').exists()


def test_wrong_folder_of_sbd(voc):
    with pytest.raises(FileNotFoundError, match=(
            r'no folder .*benchmark_RELEASE/cls; .* benchmark_RELEASE/dataset '
            r'of benchmark\.tgz')):
        convert_voc12aug(voc[0], voc[1].parent)


@pytest.mark.parametrize('name, message', [
    ('train', r'found 1 names in .*train\.txt, there should be 2'),
    ('val', r'found 1 names in .*val\.txt, there should be 2')])
def test_short_list_of_voc(voc, name, message):
    (voc[0] / f'ImageSets/Segmentation/{name}.txt').write_text('2007_01\n')
    with pytest.raises(ValueError, match=message):
        convert_voc12aug(*voc)


def test_short_list_of_sbd(voc):
    (voc[1] / 'val.txt').write_text('2008_01\n')
    with pytest.raises(ValueError, match=(
            r'found 3 names in train\.txt and val\.txt of .*dataset, there '
            'should be 4; is the download complete')):
        convert_voc12aug(*voc)


def test_damaged_labels_of_sbd(voc):
    path = voc[1] / 'cls/2008_01.mat'
    scipy.io.savemat(path, {'other': 1})
    with pytest.raises(ValueError, match=(
            r'2008_01\.mat is no label map of SBD .*GTcls\.Segmentation')):
        convert_voc12aug(*voc)


def test_labels_of_another_size(voc):
    path = voc[0] / 'SegmentationClass/2007_01.png'
    Image.fromarray(np.zeros((10, 20), np.uint8)).save(path)
    with pytest.raises(ValueError, match=(
            r'2007_01\.png is 20x10, but .*2007_01\.jpg is 80x72')):
        convert_voc12aug(*voc)


def test_unknown_class_of_voc(voc):
    path = voc[0] / 'SegmentationClass/2007_01.png'
    Image.fromarray(np.full((72, 80), 21, np.uint8)).save(path)
    with pytest.raises(ValueError, match=(
            r'2007_01\.png holds \[21\]; allowed are \[0, .* 20, 255\]')):
        convert_voc12aug(*voc)


def test_coloured_labels(voc):
    path = voc[0] / 'SegmentationClass/2007_01.png'
    Image.fromarray(np.zeros((72, 80, 3), np.uint8)).save(path)
    with pytest.raises(ValueError, match=(
            r'2007_01\.png has 3 channels; it should have one')):
        convert_voc12aug(*voc)


@pytest.mark.parametrize('name, message', [
    ('JPEGImages/2007_01.jpg', r'image .*2007_01\.jpg cannot be read'),
    ('SegmentationClass/2007_01.png',
     r'label map .*2007_01\.png cannot be read')])
def test_damaged_files_of_voc(voc, name, message):
    (voc[0] / name).write_bytes(b'no image')
    with pytest.raises(ValueError, match=message):
        convert_voc12aug(*voc)


# --- Cityscapes -------------------------------------------------------------


def test_cityscapes(cityscapes, capsys):
    source, out, _ = cityscapes
    assert convert_cityscapes(*cityscapes) == 5
    assert '5/5' in capsys.readouterr().out
    stem = 'train/aachen/aachen_000000_000019'
    image = np.array(Image.open(
        out / f'leftImg8bit/{stem}_leftImg8bit.png'), float)
    assert image.shape == (72, 80, 3)
    large = np.array(Image.open(
        source / f'leftImg8bit/{stem}_leftImg8bit.png'), float)
    means = large.reshape(72, 2, 80, 2, 3).mean((1, 3))
    assert abs(image - means).max() <= 0.5
    labels = ids_of(out / f'gtFine/{stem}_gtFine_labelTrainIds.png')
    # 7 road, 33 bicycle, 0 unlabelled, 26 car, 11 building
    assert labels[0, ::16].tolist() == [0, 18, 255, 13, 2]
    assert convert_cityscapes(*cityscapes) == 0
    dataset = DATASETS.build(dict(
        type='CheckedCityscapesDataset', data_root=str(out),
        data_prefix=dict(img_path='leftImg8bit/train',
                         seg_map_path='gtFine/train')))
    assert len(dataset) == 3


def test_train_ids_beside_label_ids(cityscapes):
    source = cityscapes[0]
    image = next(source.glob('leftImg8bit/val/*/*.png'))
    time = image.stat().st_mtime_ns
    assert convert_cityscapes(source, source, (160, 144)) == 5
    assert image.stat().st_mtime_ns == time
    assert len(list(source.glob('gtFine/*/*/*_labelTrainIds.png'))) == 5


def test_half_written_pairs_are_completed(cityscapes):
    convert_cityscapes(*cityscapes)
    next(cityscapes[1].glob('gtFine/val/*/*.png')).unlink()
    next(cityscapes[1].glob('leftImg8bit/train/ulm/*.png')).unlink()
    assert convert_cityscapes(*cityscapes) == 2
    assert len(list(cityscapes[1].glob('*/*/*/*.png'))) == 10


def test_another_size_is_there(cityscapes):
    convert_cityscapes(*cityscapes)
    with pytest.raises(ValueError, match=(
            'is there with 80x72 pixels, not 40x36; write to another')):
        convert_cityscapes(*cityscapes[:2], (40, 36))


def test_wrong_folder_of_cityscapes(cityscapes, tmp_path):
    with pytest.raises(FileNotFoundError, match=(
            r'no folder .*leftImg8bit/train; .*leftImg8bit_trainvaltest.zip')):
        convert_cityscapes(tmp_path, *cityscapes[1:])
    shutil.rmtree(cityscapes[0] / 'gtFine')
    with pytest.raises(FileNotFoundError, match=(
            r'no folder .*gtFine/train; .*gtFine_trainvaltest.zip')):
        convert_cityscapes(*cityscapes)


def test_cityscapes_without_some_files(cityscapes):
    next(cityscapes[0].glob('gtFine/train/ulm/*.png')).unlink()
    with pytest.raises(FileNotFoundError, match=(
            r'label map .*ulm_000000_000019_gtFine_labelIds\.png does not '
            r'exist \(1 of 5')):
        convert_cityscapes(*cityscapes)
    next(cityscapes[0].glob('leftImg8bit/train/ulm/*.png')).unlink()
    with pytest.raises(ValueError, match=(
            r'found 2 images in .*leftImg8bit/train/\*/, there should be 3')):
        convert_cityscapes(*cityscapes)


def test_unknown_id_of_cityscapes(cityscapes):
    path = next(cityscapes[0].glob('gtFine/train/ulm/*.png'))
    Image.fromarray(np.full((144, 160), 34, np.uint8)).save(path)
    with pytest.raises(ValueError, match=r'labelIds\.png holds \[34\]'):
        convert_cityscapes(*cityscapes)


def test_damaged_image_of_cityscapes(cityscapes):
    path = next(cityscapes[0].glob('leftImg8bit/train/ulm/*.png'))
    path.write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'image .*ulm.* cannot be read'):
        convert_cityscapes(*cityscapes)


# --- SUN RGB-D --------------------------------------------------------------


def test_sunrgbd(sunrgbd, capsys):
    source, out = sunrgbd
    assert convert_sunrgbd(*sunrgbd) == 7
    assert '7/7' in capsys.readouterr().out
    val = sorted(path.stem for path in (out / 'img_dir/val').iterdir())
    assert val == ['img-000002', 'img-000004']
    train = sorted(path.stem for path in (out / 'ann_dir/train').iterdir())
    assert train == [f'img-{i:06d}' for i in (1, 3, 5, 6, 7)]
    # The first training image has the label map behind those of the test.
    moved = out / 'img_dir/train/img-000005.jpg'
    original = source / 'SUNRGBD-train_images/img-000001.jpg'
    assert moved.read_bytes() == original.read_bytes()
    labels = ids_of(out / 'ann_dir/train/img-000005.png')
    assert labels[0, ::20].tolist() == [255, 0, 36, 4]
    assert convert_sunrgbd(*sunrgbd) == 0
    dataset = DATASETS.build(dict(
        type='SUNRGBDDataset', data_root=str(out), data_prefix=dict(
            img_path='img_dir/val', seg_map_path='ann_dir/val')))
    assert len(dataset) == 2


@pytest.mark.parametrize('lost, error, message', [
    ('test_idx.txt', FileNotFoundError,
     r'the list .*test_idx\.txt does not exist; .*lorenmt/reco'),
    ('SUNRGBD-test_images', FileNotFoundError,
     r'no folder .*SUNRGBD-test_images; .*SUNRGBD-train_images\.tgz'),
    ('SUNRGBD-train_images/img-000002.jpg', ValueError,
     r'found 2 images img-NUMBER\.jpg in .*train_images, there should be 3'),
    ('sunrgbd_train_test_labels/img-000006.png', FileNotFoundError,
     r'label map .*img-000006\.png does not exist \(1 of 7')])
def test_sunrgbd_without(sunrgbd, lost, error, message):
    path = sunrgbd[0] / lost
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(error, match=message):
        convert_sunrgbd(*sunrgbd)


@pytest.mark.parametrize('numbers, message', [
    ('2', r'found 1 numbers in .*test_idx\.txt, there should be 2'),
    ('2\nx', r"test_idx\.txt holds 'x'; it should hold one number a line"),
    ('2\n9', r'found 1 test images that .*test_idx\.txt names, .* be 2')])
def test_bad_list_of_sunrgbd(sunrgbd, numbers, message):
    (sunrgbd[0] / 'test_idx.txt').write_text(numbers)
    with pytest.raises(ValueError, match=message):
        convert_sunrgbd(*sunrgbd)


def test_unknown_class_of_sunrgbd(sunrgbd):
    path = sunrgbd[0] / 'sunrgbd_train_test_labels/img-000003.png'
    Image.fromarray(np.full((72, 80), 38, np.uint8)).save(path)
    with pytest.raises(ValueError, match=r'img-000003\.png holds \[38\]'):
        convert_sunrgbd(*sunrgbd)


# --- dataset classes --------------------------------------------------------


@pytest.mark.parametrize('name, classes, first, last', [
    ('VOC12AugDataset', 21, 'background', 'tvmonitor'),
    ('CheckedCityscapesDataset', 19, 'road', 'bicycle'),
    ('SUNRGBDDataset', 37, 'wall', 'bag')])
def test_tables_of_classes(name, classes, first, last):
    table = DATASETS.get(name).METAINFO
    assert len(table['classes']) == len(set(table['classes'])) == classes
    assert (table['classes'][0], table['classes'][-1]) == (first, last)
    colours = {tuple(colour) for colour in table['palette']}
    assert len(colours) == len(table['palette']) == classes


@pytest.mark.parametrize('name', [
    'VOC12AugDataset', 'CheckedCityscapesDataset', 'SUNRGBDDataset'])
def test_missing_list_is_named(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=(
            rf"{name}: the list ann_file='.*60-seed0\.txt' does not exist")):
        DATASETS.build(dict(
            type=name, data_root=str(tmp_path), ann_file='60-seed0.txt',
            data_prefix=dict(img_path='a', seg_map_path='b')))
