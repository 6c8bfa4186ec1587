"""The scan of images and label maps."""
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from mmseg_ssl.datasets import SemiSegDataset, UnlabeledDataset, checks
from mmseg_ssl.datasets.checks import check_dataset, leaf_datasets

LOAD_BOTH = [
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations'),
]
LOAD_IMAGE = [dict(type='LoadImageFromFile')]


@pytest.fixture
def root(tmp_path) -> Path:
    """Four good samples of 12x8 pixels with the ids 0, 1, 2 and 255."""
    rng = np.random.default_rng(0)
    for folder in ('img', 'ann'):
        (tmp_path / folder).mkdir()
    for i in range(4):
        image = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        mask = rng.choice(np.array([0, 1, 2, 255], dtype=np.uint8), (8, 12))
        Image.fromarray(image).save(tmp_path / f'img/{i}.jpg')
        Image.fromarray(mask).save(tmp_path / f'ann/{i}.png')
    return tmp_path


def build(root: Path, pipeline=LOAD_BOTH, cls=BaseSegDataset,
          classes=('a', 'b', 'c'), **kwargs) -> BaseSegDataset:
    return cls(
        data_root=str(root),
        data_prefix=dict(img_path='img', seg_map_path='ann'),
        metainfo=dict(classes=classes),
        pipeline=pipeline,
        serialize_data=False,  # which would collect garbage every time
        **kwargs)


def write_mask(root: Path, mask: np.ndarray, name: str = '2.png') -> None:
    Image.fromarray(mask).save(root / 'ann' / name)


def check(root: Path, **kwargs) -> None:
    check_dataset(build(root, **kwargs), root / 'cache')


def test_good_files_pass(root):
    check(root)


def test_label_outside_the_classes(root):
    write_mask(root, np.full((8, 12), 7, np.uint8))
    with pytest.raises(ValueError) as error:
        check(root)
    message = str(error.value)
    assert '1 of the 4 samples of BaseSegDataset' in message
    assert str(root / 'ann/2.png') in message
    assert 'holds 7; allowed are 0 to 2 and 255' in message


def test_value_that_a_cast_to_uint8_would_hide(root):
    write_mask(root, np.full((8, 12), 256, np.uint16))
    with pytest.raises(ValueError, match='holds 256; allowed are 0 to 2'):
        check(root)


def test_reduce_zero_label_allows_one_more_id(root):
    write_mask(root, np.full((8, 12), 3, np.uint8))
    check(root, reduce_zero_label=True)
    with pytest.raises(ValueError, match='holds 3'):
        check(root)


def test_subset_of_classes_allows_all_ids_of_the_dataset(root):

    class FiveClasses(BaseSegDataset):
        METAINFO = dict(classes=('a', 'b', 'c', 'd', 'e'))

    write_mask(root, np.full((8, 12), 4, np.uint8))
    check(root, cls=FiveClasses, classes=('a', 'c'))
    write_mask(root, np.full((8, 12), 5, np.uint8))
    with pytest.raises(ValueError, match='holds 5; allowed are 0 to 4'):
        check(root, cls=FiveClasses, classes=('a', 'c'))


def test_own_loader_has_the_last_word(root):

    class HalvedLabels(LoadAnnotations):

        def _load_seg_map(self, results):
            super()._load_seg_map(results)
            mask = results['gt_seg_map']
            results['gt_seg_map'] = np.where(mask == 255, 255, mask // 2)

    write_mask(root, np.full((8, 12), 4, np.uint8))
    check(root, pipeline=[LOAD_IMAGE[0], dict(type=HalvedLabels)])
    write_mask(root, np.full((8, 12), 6, np.uint8))
    with pytest.raises(ValueError, match='holds 3'):
        check(root, pipeline=[LOAD_IMAGE[0], dict(type=HalvedLabels)])


def test_mask_of_another_size(root):
    write_mask(root, np.zeros((12, 8), np.uint8))
    with pytest.raises(ValueError) as error:
        check(root)
    assert 'ann/2.png is 8x12, but its image' in str(error.value)
    assert 'img/2.jpg is 12x8' in str(error.value)


def test_rotation_in_exif_counts_for_the_size(root):
    path = root / 'img/2.jpg'
    image = Image.open(path)
    exif = image.getexif()
    exif[checks.EXIF_ORIENTATION] = 6
    image.save(path, exif=exif)
    with pytest.raises(ValueError, match='2.jpg is 8x12'):
        check(root)


def test_colour_mask(root):
    write_mask(root, np.zeros((8, 12, 3), np.uint8))
    with pytest.raises(ValueError, match='ann/2.png has 3 channels'):
        check(root)


@pytest.mark.parametrize('content', [b'', b'no image at all'])
@pytest.mark.parametrize('name, kind',
                         [('img/2.jpg', 'image'), ('ann/2.png', 'label map')])
def test_file_that_is_no_image(root, name, kind, content):
    (root / name).write_bytes(content)
    with pytest.raises(ValueError) as error:
        check(root)
    message = str(error.value)
    assert f'{kind} {root / name} cannot be read: not an image' in message


@pytest.mark.parametrize('name', ['img/2.jpg', 'ann/2.png'])
def test_truncated_file(root, name):
    content = (root / name).read_bytes()
    (root / name).write_bytes(content[:len(content) * 3 // 4])
    with pytest.raises(ValueError, match=f'{name} cannot be read'):
        check(root)


def test_image_that_only_opencv_knows(root):
    hdr = root / 'img/2.hdr'
    cv2.imwrite(str(hdr), np.ones((8, 12, 3), np.float32))
    (root / 'img/2.jpg').write_bytes(hdr.read_bytes())
    check(root)


def test_image_without_mask(root):
    (root / 'ann/2.png').unlink()
    with pytest.raises(ValueError) as error:
        check(root)
    message = str(error.value)
    assert str(root / 'ann/2.png') in message and 'does not exist' in message
    assert str(root / 'img/2.jpg') in message


def test_listed_image_that_does_not_exist(root):
    (root / 'list.txt').write_text('0\nnowhere\n')
    with pytest.raises(ValueError, match='img/nowhere.jpg does not exist'):
        check(root, ann_file='list.txt')


def test_masks_do_not_matter_where_none_is_loaded(root):
    (root / 'ann/2.png').unlink()
    check(root, pipeline=LOAD_IMAGE)
    (root / 'img/2.jpg').write_bytes(b'')
    with pytest.raises(ValueError, match='img/2.jpg'):
        check(root, pipeline=LOAD_IMAGE)


def test_long_reports_are_cut(root):
    for i in range(40):
        (root / f'img/bad{i}.jpg').write_bytes(b'')
    with pytest.raises(ValueError) as error:
        check(root)
    lines = str(error.value).splitlines()
    assert lines[0].startswith('40 of the 44 samples')
    assert len(lines) == checks.MAX_REPORTED + 2
    assert lines[-1] == '  ... and 30 more'


class TestCache:

    @pytest.fixture
    def scans(self, monkeypatch) -> list:
        """Names of the datasets scanned so far."""
        names = []
        scan = checks._scan
        monkeypatch.setattr(
            checks, '_scan',
            lambda checker, name: names.append(name) or scan(checker, name))
        return names

    def test_second_check_reads_no_file(self, root, scans):
        check(root)
        check(root)
        assert len(scans) == 1

    def test_failure_is_not_remembered(self, root, scans):
        write_mask(root, np.full((8, 12), 7, np.uint8))
        for _ in range(2):
            with pytest.raises(ValueError):
                check(root)
        assert len(scans) == 2

    def test_changed_file_is_read_again(self, root, scans):
        check(root)
        mask = root / 'ann/2.png'
        content, mtime = mask.read_bytes(), mask.stat().st_mtime_ns
        mask.write_bytes(content)
        os.utime(mask, ns=(mtime, mtime + 1))
        check(root)
        assert len(scans) == 2

    def test_fewer_classes_are_checked_again(self, root, scans):
        check(root)
        with pytest.raises(ValueError, match='allowed are 0 to 1'):
            check(root, classes=('a', 'b'))
        assert len(scans) == 2

    def test_loading_masks_is_checked_again(self, root, scans):
        check(root, pipeline=LOAD_IMAGE)
        check(root)
        assert len(scans) == 2

    def test_default_folder_follows_xdg(self, root, monkeypatch):
        monkeypatch.setenv('XDG_CACHE_HOME', str(root / 'xdg'))
        check_dataset(build(root))
        assert len(list((root / 'xdg/mmseg_ssl').glob('*.checked'))) == 1

    def test_folder_that_cannot_be_written(self, root, scans):
        (root / 'cache').write_text('a file where the folder should be')
        check(root)
        check(root)
        assert len(scans) == 2


def test_leaves_of_wrappers(root):
    labeled, other = build(root), build(root, pipeline=LOAD_IMAGE)

    class Pair:
        pass

    pair = Pair()
    pair.labeled = RepeatDataset(labeled, times=2)
    pair.unlabeled = ConcatDataset([other, labeled])
    assert leaf_datasets(pair) == [labeled, other]
    assert leaf_datasets([1, 2]) == []


def test_both_branches_of_semi_supervised_data(root):
    (root / 'more').mkdir()
    (root / 'more/new.jpg').write_bytes(b'no image')
    dataset = SemiSegDataset(
        labeled=build(root),
        unlabeled=UnlabeledDataset(
            data_root=str(root),
            data_prefix=dict(img_path='more'),
            pipeline=LOAD_IMAGE))
    labeled, unlabeled = leaf_datasets(dataset)
    assert (labeled, unlabeled) == (dataset.labeled, dataset.unlabeled)
    check_dataset(labeled, root / 'cache')
    with pytest.raises(ValueError, match='1 of the 1 samples of Unlabeled'):
        check_dataset(unlabeled, root / 'cache')


def _check_in_process(rank: int, root: Path) -> None:
    """What one of two processes sees of a folder with two bad files."""
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{root}/store', rank=rank, world_size=2)
    try:
        check(root)
    except ValueError as error:
        (root / f'error{rank}.txt').write_text(str(error))
    torch.distributed.destroy_process_group()


def test_all_processes_fail_with_the_same_report(root):
    for name in ('0', '3'):  # one in the share of each process
        (root / f'img/{name}.jpg').write_bytes(b'')
    torch.multiprocessing.start_processes(
        _check_in_process, (root, ), nprocs=2, start_method='fork')
    first = (root / 'error0.txt').read_text()
    assert (root / 'error1.txt').read_text() == first
    assert first.startswith('2 of the 4 samples')
    assert 'img/0.jpg' in first and 'img/3.jpg' in first
