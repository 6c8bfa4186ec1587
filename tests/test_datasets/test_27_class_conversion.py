"""COCO-Stuff and Cityscapes with 27 classes, from their downloads."""
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_ssl.datasets.conversion import (
    coco_stuff27,
    convert_cityscapes,
    convert_coco_stuff27,
)

ROOT = Path(__file__).resolve().parents[2]
BASES = ROOT / 'configs/_base_/datasets'
# share of stuff (sky 156 or, below, wall 176) and size of a label map
IMAGES = dict(train=dict(mostly=(0.8, 36, 40), half=(0.5, 40, 40),
                         small=(1.0, 35, 60), void=(0.7, 36, 36)),
              val=dict(enough=(0.75, 40, 36)))


def label_map(stuff: float, height: int, width: int) -> np.ndarray:
    """Person (0) at the left, sky (156) at the right, some void if rare."""
    ids = np.zeros((height, width), np.uint8)
    ids[:, round((1 - stuff) * width):] = 156
    if stuff == 0.7:
        ids[:, :round(0.2 * width)] = 255
    return ids


@pytest.fixture
def coco(tmp_path, monkeypatch) -> Path:
    """COCO and COCO-Stuff as extracted, with five small images."""
    monkeypatch.setattr(coco_stuff27, 'COUNTS', dict(train=4, val=1))
    monkeypatch.setattr(coco_stuff27, 'MIN_SIDE', 36)
    for split, images in IMAGES.items():
        folders = [tmp_path / f'coco/{kind}/{split}2017'
                   for kind in ('images', 'annotations')]
        for folder in folders:
            folder.mkdir(parents=True)
        for name, (stuff, height, width) in images.items():
            ids = label_map(stuff, height, width)
            Image.fromarray(np.stack([ids] * 3, 2)).save(
                folders[0] / f'{name}.jpg')
            Image.fromarray(ids).save(folders[1] / f'{name}.png')
    return tmp_path / 'coco'


def converted(out: Path, split: str) -> list[str]:
    return sorted(path.stem for path in (out / f'ann_dir/{split}').iterdir())


def test_mapping_is_the_benchmarks():
    mapping = coco_stuff27.MAPPING
    classes = DATASETS.get('COCOStuff27Dataset').METAINFO['classes']
    assert tuple(mapping['coarse_names']) == classes
    coarse = np.array(mapping['fine_to_coarse'])
    assert len(coarse) == 182 and set(coarse) == set(range(27))
    assert coarse[:91].max() == 11 and coarse[91:].min() == 12
    # of COCO-Stuff's list: person, car, dog, banana; wall-brick, sky, grass
    names = dict(enumerate(classes))
    assert [names[coarse[i]] for i in (0, 2, 17, 51, 170, 156, 123)] == [
        'person', 'vehicle', 'animal', 'food', 'wall', 'sky', 'plant']
    assert coco_stuff27.NEW_IDS[255] == 255


def test_images_of_the_benchmark_are_chosen(coco, tmp_path):
    out = tmp_path / 'out'
    assert convert_coco_stuff27(coco, out) == dict(written=2, train=1, val=1)
    assert converted(out, 'train') == ['mostly']
    assert converted(out, 'val') == ['enough']
    ids = np.array(Image.open(out / 'ann_dir/train/mostly.png'))
    assert ids.shape == (36, 40)
    assert ids[0, 0] == 9 and ids[0, -1] == 23  # person and sky
    image = out / 'img_dir/train/mostly.jpg'
    assert os.path.samefile(image, coco / 'images/train2017/mostly.jpg')
    dataset = DATASETS.build(dict(
        type='COCOStuff27Dataset', data_root=str(out), data_prefix=dict(
            img_path='img_dir/train', seg_map_path='ann_dir/train')))
    assert len(dataset) == 1


@pytest.mark.parametrize('stuff, side, expected', [
    (0.75, 360, True), (0.749, 360, False), (1, 359, False)])
def test_who_belongs_to_the_benchmark(stuff, side, expected):
    ids = np.full((side, 400), 11)
    ids.flat[:round(stuff * ids.size)] = 12
    assert coco_stuff27.is_curated(ids) == expected
    assert not coco_stuff27.is_curated(np.full((400, 400), 255))


def test_lists_of_images(coco, tmp_path):
    path = tmp_path / 'train.txt'
    path.write_text('small\nhalf\n')
    out = tmp_path / 'out'
    counts = convert_coco_stuff27(coco, out, dict(train=path))
    assert counts == dict(written=3, train=2, val=1)
    assert converted(out, 'train') == ['half', 'small']


def test_images_are_copied_to_another_disk(coco, tmp_path, monkeypatch):

    def refuse(*args):
        raise OSError('Invalid cross-device link')

    monkeypatch.setattr(os, 'link', refuse)
    convert_coco_stuff27(coco, tmp_path / 'out')
    copy = tmp_path / 'out/img_dir/val/enough.jpg'
    source = coco / 'images/val2017/enough.jpg'
    assert copy.read_bytes() == source.read_bytes()
    assert not os.path.samefile(copy, source)


def test_interrupted_calls_are_continued(coco, tmp_path):
    out = tmp_path / 'out'
    convert_coco_stuff27(coco, out)
    (out / 'ann_dir/val/enough.png').unlink()
    assert convert_coco_stuff27(coco, out)['written'] == 1
    assert convert_coco_stuff27(coco, out)['written'] == 0


@pytest.mark.parametrize('lost, error, message', [
    ('images', FileNotFoundError,
     r'no folder .*images/train2017; .*train2017\.zip and val2017\.zip'),
    ('annotations', FileNotFoundError, r'no folder .*annotations/train2017; '
     r'.*stuffthingmaps_trainval2017\.zip'),
    ('annotations/val2017/enough.png', FileNotFoundError,
     r'label map .*enough\.png does not exist \(1 of 5'),
    ('images/train2017/half.jpg', ValueError,
     r'found 3 images in .*images/train2017, there should be 4')])
def test_coco_without(coco, tmp_path, lost, error, message):
    (coco / lost).rename(coco / 'lost')
    with pytest.raises(error, match=message):
        convert_coco_stuff27(coco, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('text, message', [
    ('mostly\nother', r"train\.txt names 'other', which is no image of this"),
    ('', r'train\.txt is empty; it should hold one name a line')])
def test_bad_lists(coco, tmp_path, text, message):
    path = tmp_path / 'train.txt'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        convert_coco_stuff27(coco, tmp_path / 'out', dict(train=path))


def test_unknown_class_of_coco(coco, tmp_path):
    path = coco / 'annotations/val2017/enough.png'
    Image.fromarray(np.full((40, 40), 182, np.uint8)).save(path)
    with pytest.raises(ValueError, match=r'enough\.png holds \[182\]'):
        convert_coco_stuff27(coco, tmp_path / 'out')


def test_cityscapes_27(tiny_downloads, tmp_path):
    source, out = tiny_downloads.cityscapes, tmp_path / 'half'
    assert convert_cityscapes(source, out, (80, 72), num_classes=27) == 5
    stem = 'train/aachen/aachen_000000_000019'
    labels = np.array(Image.open(
        out / f'gtFine/{stem}_gtFine_label27Ids.png'))
    # 7 road, 33 bicycle, 0 unlabelled, 26 car, 11 building
    assert labels[0, ::16].tolist() == [0, 26, 255, 19, 4]
    dataset = DATASETS.build(dict(
        type='Cityscapes27Dataset', data_root=str(out), data_prefix=dict(
            img_path='leftImg8bit/val', seg_map_path='gtFine/val')))
    assert len(dataset) == 2
    # both sets of labels stand in one folder
    assert convert_cityscapes(source, out, (80, 72)) == 5
    assert convert_cityscapes(source, out, (80, 72), num_classes=27) == 0
    assert len(list(out.glob('gtFine/*/*/*.png'))) == 10


def test_classes_of_cityscapes_27():
    table = DATASETS.get('Cityscapes27Dataset').METAINFO
    usual = DATASETS.get('CheckedCityscapesDataset').METAINFO
    assert len(table['classes']) == len(set(table['classes'])) == 27
    assert len({tuple(colour) for colour in table['palette']}) == 27
    colours = dict(zip(table['classes'], table['palette']))
    for name, colour in zip(usual['classes'], usual['palette']):
        assert colours[name] == colour


@pytest.mark.parametrize('base, first, last', [
    ('coco_stuff27', 'electronic', 'vehicle'),
    ('cityscapes27', 'person', 'bicycle')])
def test_things_and_stuff(base, first, last):
    cfg = Config.fromfile(BASES / f'{base}_320x320_unlabeled.py')
    classes = DATASETS.get(cfg.dataset_type).METAINFO['classes']
    things = [classes[i] for i in cfg.val_evaluator.partitions.things]
    assert (things[0], things[-1]) == (first, last)
    assert cfg.val_dataloader.dataset.type == cfg.dataset_type
    assert cfg.test_dataloader == cfg.val_dataloader
    train = cfg.train_dataloader.dataset
    assert train.data_root == cfg.val_dataloader.dataset.data_root
    assert 'seg_map_path' not in train.data_prefix


@pytest.fixture
def call_main(monkeypatch):
    """Call a tool in this process."""

    def call(tool: str, *arguments) -> None:
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        runpy.run_path(str(ROOT / tool), run_name='__main__')

    return call


def test_command_lines(call_main, coco, tiny_downloads, tmp_path, capsys):
    tool = 'tools/dataset_tools/convert_coco_stuff27.py'
    call_main(tool, coco, '--num-procs', 1)
    output = capsys.readouterr().out
    assert '2 images written' in output
    assert 'train: 1 images; the benchmark has 49629, so take' in output
    path = tmp_path / 'val.txt'
    path.write_text('enough')
    call_main(tool, coco, tmp_path / 'other', '--num-procs', 1,
              '--val-list', path)
    assert 'val: 1 images\n' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=(
            r'convert_coco_stuff27\.py: there is no folder')):
        call_main(tool, tmp_path / 'nowhere')
    call_main('tools/dataset_tools/convert_cityscapes.py',
              tiny_downloads.cityscapes, '--classes', 27, '--size', '80x72',
              '--num-procs', 1)
    beside = tiny_downloads.cityscapes.with_name('cityscapes_72x80')
    assert len(list(beside.glob('gtFine/*/*/*_gtFine_label27Ids.png'))) == 5


def test_mapping_is_shipped():
    assert 'datasets/conversion/*.json' in (
        ROOT / 'pyproject.toml').read_text()
