from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_ssl.datasets import SemiSegDataset


class Numbers(torch.utils.data.Dataset):
    """Items ``start .. start + count - 1``, shaped like packed samples."""

    def __init__(self, start, count):
        self.start, self.count = start, count
        self.metainfo = dict(classes=('a', 'b'))

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        value = range(self.start, self.start + self.count)[index]
        return dict(inputs=torch.tensor([value]), data_samples=value)


@pytest.fixture
def dataset():
    return SemiSegDataset(Numbers(0, 4), Numbers(100, 6))


def test_items(dataset):
    assert len(dataset) == 6
    assert [dataset[i]['unlabeled']['data_samples']
            for i in range(6)] == list(range(100, 106))
    assert set(dataset[0]) == {'labeled', 'unlabeled'}
    assert dataset.metainfo == dict(classes=('a', 'b'))


def test_labelled_samples_are_drawn_uniformly(dataset):
    np.random.seed(0)
    drawn = [dataset[0]['labeled']['data_samples'] for _ in range(2000)]
    counts = np.bincount(drawn, minlength=4)
    chi2 = ((counts - 500)**2 / 500).sum()
    assert chi2 < 16.3  # p = 0.001 with three degrees of freedom
    np.random.seed(0)
    again = [dataset[0]['labeled']['data_samples'] for _ in range(2000)]
    assert drawn == again


@pytest.mark.parametrize('indices, expected', [
    (2, [100, 101]), (-2, [104, 105]), ([5, 0, -1], [105, 100, 105]),
    (99, list(range(100, 106)))])
def test_indices(indices, expected):
    dataset = SemiSegDataset(Numbers(0, 4), Numbers(100, 6), indices=indices)
    assert [dataset[i]['unlabeled']['data_samples']
            for i in range(len(dataset))] == expected
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_indices_that_leave_nothing():
    with pytest.raises(ValueError, match='indices=0 leave none of the 6'):
        SemiSegDataset(Numbers(0, 4), Numbers(100, 6), indices=0)
    with pytest.raises(IndexError):
        SemiSegDataset(Numbers(0, 4), Numbers(100, 6), indices=[6])


def test_repr(dataset):
    assert repr(SemiSegDataset(dataset.labeled, dataset, indices=5)) == (
        'SemiSegDataset(\n'
        '  labeled=Numbers with 4 samples,\n'
        '  unlabeled=SemiSegDataset with 5 of 6 samples)')


def semi_cfg(root):
    load = [dict(type='LoadImageFromFile')]
    pack = [dict(type='PackSegInputs')]
    return dict(
        type='SemiSegDataset',
        labeled=dict(
            type='ProceduralScenesDataset',
            data_root=str(root),
            data_prefix=dict(img_path='img_dir/train',
                             seg_map_path='ann_dir/train'),
            indices=3,
            lazy_init=True,
            pipeline=[*load, dict(type='LoadAnnotations'), *pack]),
        unlabeled=dict(
            type='UnlabeledDataset',
            data_root=str(root),
            data_prefix=dict(img_path='img_dir/train'),
            pipeline=[*load, *pack]))


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
def test_dataloader(scenes_on_disk, num_workers, sampler):
    """Through mmengine's loader into the data preprocessor."""
    loader = Runner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=num_workers,
            sampler=dict(type=sampler, shuffle=False),
            dataset=semi_cfg(scenes_on_disk)),
        seed=0)
    assert loader.dataset.metainfo['classes'][0] == 'sky'
    preprocessor = MODELS.build(
        dict(type='SemiSegDataPreProcessor', size=(32, 32), mean=[0] * 3,
             std=[1] * 3, bgr_to_rgb=True, seg_pad_val=255))
    out = preprocessor(next(iter(loader)), training=True)
    samples = out['data_samples']
    for branch in ('labeled', 'unlabeled'):
        assert out['inputs'][branch].shape == (4, 3, 32, 32)
    stems = {branch: [Path(sample.img_path).stem
                      for sample in samples[branch]] for branch in samples}
    assert stems['unlabeled'] == ['0', '1', '2', '3']
    assert set(stems['labeled']) <= {'0', '1', '2'}
    assert all('gt_sem_seg' in sample for sample in samples['labeled'])
    assert not any('gt_sem_seg' in sample for sample in samples['unlabeled'])


def test_workers_draw_different_labelled_samples():
    loader = Runner.build_dataloader(
        dict(
            batch_size=8,
            num_workers=2,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=SemiSegDataset(Numbers(0, 1000), Numbers(0, 16))),
        seed=0)
    first, second = (
        batch['labeled']['data_samples'] for batch in loader)
    assert first != second
