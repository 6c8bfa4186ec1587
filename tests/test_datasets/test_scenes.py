import hashlib
import json

import cv2
import numpy as np
import pytest

from mmseg_ssl.datasets import ProceduralScenesDataset
from mmseg_ssl.datasets.scenes import CLASSES, SIGN, ScenesSpec, write_scenes

SMALL = ScenesSpec(num_train=4, num_val=2, height=48, width=64)


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*.png'))
    }


def test_same_seed_same_scene():
    for first, second in zip(
            SMALL.scene('train', 3), SMALL.scene('train', 3), strict=True):
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, second)


def test_scenes_differ():
    scenes = [SMALL.scene('train', 0), SMALL.scene('train', 1),
              SMALL.scene('val', 0),
              ScenesSpec(height=48, width=64, seed=1).scene('train', 0)]
    assert len({image.tobytes() for image, _ in scenes}) == 4


def test_number_of_images_does_not_change_them():
    more = ScenesSpec(num_train=400, height=48, width=64)
    np.testing.assert_array_equal(
        SMALL.scene('train', 2)[0], more.scene('train', 2)[0])


def test_content():
    """Every class is there, the rare one in few images."""
    spec = ScenesSpec()
    labels = [spec.scene('train', i)[1] for i in range(60)]
    assert labels[0].shape == (96, 128)
    present = np.array([np.bincount(label.ravel(), minlength=len(CLASSES)) > 0
                        for label in labels]).mean(0)
    assert present.shape == (len(CLASSES), )
    assert present.argmin() == SIGN
    assert 0.05 < present[SIGN] < 0.3 < present[:SIGN].min()


def test_shared_colours():
    """Colour alone does not tell sky from water, nor grass from trees."""
    spec = ScenesSpec()
    means = {name: [] for name in CLASSES}
    for index in range(60):
        image, label = spec.scene('train', index)
        for i, name in enumerate(CLASSES):
            if (label == i).sum() > 50:
                means[name].append(image[label == i].mean(0))
    mean = {name: np.mean(colours, 0) for name, colours in means.items()}
    spread = {name: np.std(colours, 0) for name, colours in means.items()}
    for one, other in (('sky', 'water'), ('grass', 'tree')):
        assert (abs(mean[one] - mean[other]) < spread[one]).all()
    assert (abs(mean['sky'] - mean['grass']) > spread['sky']).any()


def test_folder(tmp_path):
    assert write_scenes(tmp_path / 'a', SMALL) == 6
    assert write_scenes(tmp_path / 'b', SMALL) == 6
    assert digests(tmp_path / 'a') == digests(tmp_path / 'b')
    for split, count in (('train', 4), ('val', 2)):
        dataset = ProceduralScenesDataset(
            data_root=str(tmp_path / 'a'),
            data_prefix=dict(img_path=f'img_dir/{split}',
                             seg_map_path=f'ann_dir/{split}'),
            pipeline=[dict(type='LoadImageFromFile'),
                      dict(type='LoadAnnotations')])
        assert len(dataset) == count
        image, label = SMALL.scene(split, 1)
        np.testing.assert_array_equal(dataset[1]['img'][..., ::-1], image)
        np.testing.assert_array_equal(dataset[1]['gt_seg_map'], label)


def test_second_call_paints_what_is_missing(tmp_path):
    write_scenes(tmp_path, SMALL)
    before = digests(tmp_path)
    kept = tmp_path / 'img_dir/train/00000.png'
    written = kept.stat().st_mtime_ns
    (tmp_path / 'ann_dir/train/00002.png').unlink()
    assert write_scenes(tmp_path, SMALL) == 1
    assert digests(tmp_path) == before
    assert kept.stat().st_mtime_ns == written


@pytest.mark.parametrize('change, message', [
    (dict(seed=1), 'seed=0 instead of 1'),
    (dict(num_train=5), 'num_train=4 instead of 5'),
    (dict(height=96), 'height=48 instead of 96')])
def test_folder_of_other_scenes(tmp_path, change, message):
    write_scenes(tmp_path, SMALL)
    values = {**json.loads((tmp_path / 'scenes.json').read_text()), **change}
    with pytest.raises(ValueError, match=message):
        write_scenes(tmp_path, ScenesSpec(**values))


def test_folder_of_something_else(tmp_path):
    cv2.imwrite(str(tmp_path / 'holiday.png'), np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match=r'not empty and has no scenes\.json'):
        write_scenes(tmp_path, SMALL)
