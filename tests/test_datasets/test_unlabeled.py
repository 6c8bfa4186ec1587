import builtins
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from mmseg_ssl.datasets import UnlabeledDataset

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]


@pytest.fixture
def root(tmp_path) -> Path:
    """Two folders of images, one of them nested, beside other files."""
    for name in ('one/b.jpg', 'one/deep/a.PNG', 'two/c.jpeg'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (8, 6)).save(path)
    (tmp_path / 'one/notes.txt').write_text('not an image')
    return tmp_path


def build(root, img_path='one', text=None, **kwargs):
    if text is not None:
        (root / 'list.txt').write_text(text)
        kwargs['ann_file'] = 'list.txt'
    return UnlabeledDataset(
        data_root=str(root), data_prefix=dict(img_path=img_path),
        pipeline=PIPELINE, **kwargs)


def names(dataset, root):
    return [str(Path(dataset.get_data_info(i)['img_path']).relative_to(root))
            for i in range(len(dataset))]


def test_folder(root):
    assert names(build(root), root) == ['one/b.jpg', 'one/deep/a.PNG']


def test_folders(root):
    dataset = build(root, ['two', 'one'])
    assert names(dataset, root) == [
        'two/c.jpeg', 'one/b.jpg', 'one/deep/a.PNG']


def test_absolute_folder_without_root(root):
    dataset = UnlabeledDataset(
        data_prefix=dict(img_path=str(root / 'two')), pipeline=PIPELINE)
    assert names(dataset, root) == ['two/c.jpeg']


def test_suffix(root):
    assert names(build(root, img_suffix='.JPG'), root) == ['one/b.jpg']


def test_list_with_and_without_suffix(root):
    dataset = build(root, text='deep/a.PNG\nb\n')
    assert names(dataset, root) == ['one/deep/a.PNG', 'one/b.jpg']


def test_sample_has_no_label(root):
    sample = build(root)[0]
    assert sample['inputs'].shape == (3, 6, 8)
    assert 'gt_sem_seg' not in sample['data_samples']


def test_no_mask_is_touched(root, monkeypatch):
    """Neither listed, nor looked for, nor opened, though it is there."""
    for folder in ('img_dir', 'ann_dir'):
        path = root / 'camvid' / folder / 'train/a.png'
        path.parent.mkdir(parents=True)
        Image.new('L', (8, 6)).save(path)
    touched = []

    def recorded(function):

        def record(path='.', *args, **kwargs):
            touched.append(str(path))
            return function(path, *args, **kwargs)

        return record

    for owner, name in ((builtins, 'open'), (io, 'open'), (os, 'stat'),
                        (os, 'scandir'), (os, 'listdir')):
        monkeypatch.setattr(owner, name, recorded(getattr(owner, name)))
    dataset = build(root, 'camvid/img_dir/train')
    assert dataset[0]['inputs'].shape == (3, 6, 8)
    assert any('img_dir' in path for path in touched)
    assert not any('ann_dir' in path for path in touched)


def test_missing_folder(root):
    with pytest.raises(FileNotFoundError, match=r"three' does not exist"):
        build(root, ['one', 'three'])


def test_folder_without_images(root):
    (root / 'empty').mkdir()
    with pytest.raises(ValueError, match=r"empty' holds no image"):
        build(root, ['one', 'empty'])


def test_missing_list(root):
    with pytest.raises(FileNotFoundError, match=r'gone\.txt'):
        build(root, ann_file='gone.txt')


def test_missing_image_of_list(root):
    with pytest.raises(FileNotFoundError, match=(
            r"one/x\.jpg' of the list '.*list\.txt' does not exist")):
        build(root, text='b\nx\n')


def test_list_of_several_folders(root):
    with pytest.raises(ValueError, match='should be in one folder'):
        build(root, ['one', 'two'], text='b\n')


def test_label_maps_are_refused(root):
    with pytest.raises(ValueError, match='seg_map_path'):
        UnlabeledDataset(
            data_root=str(root),
            data_prefix=dict(img_path='one', seg_map_path='ann_dir'))
    with pytest.raises(ValueError, match='take LoadAnnotations out'):
        UnlabeledDataset(
            data_root=str(root), data_prefix=dict(img_path='one'),
            pipeline=[dict(type='LoadAnnotations')])
