"""The dataset bases that configs start from."""
import os
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS

from mmseg_ssl.datasets.scenes import ScenesSpec, write_scenes
from mmseg_ssl.engine.environment import apply_cfg_options

# What is labelled otherwise, in part or not at all, is tested with its tool
# and with the methods that train on it.
BASES = sorted(
    path for path in (Path(__file__).resolve().parents[2]
                      / 'configs/_base_/datasets').glob('*.py')
    if not path.stem.endswith(('_partial', '_unlabeled')))
NAMES = {
    'dataset_type', 'data_root', 'num_classes', 'crop_size', 'train_pipeline',
    'unlabeled_pipeline', 'test_pipeline', 'labeled_dataset',
    'unlabeled_dataset', 'train_dataloader', 'val_dataloader',
    'test_dataloader', 'val_evaluator', 'test_evaluator'
}


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'scenes'
    write_scenes(folder, ScenesSpec(num_val=2))
    return folder


@pytest.fixture(params=BASES, ids=lambda path: path.stem)
def cfg(request, scenes) -> Config:
    """A base pointed at images."""
    cfg = Config.fromfile(request.param)
    folder = Path(cfg.data_root).name
    if folder == 'scenes':
        data_root = scenes
    elif 'MMSEG_SSL_DATA_ROOT' in os.environ:
        data_root = Path(os.environ['MMSEG_SSL_DATA_ROOT']) / folder
    else:
        pytest.skip('set MMSEG_SSL_DATA_ROOT to the folder of the datasets')
    if not data_root.is_dir():
        pytest.skip(f'there is no {data_root}')
    apply_cfg_options(cfg, dict(data_root=str(data_root)))
    return cfg


def test_there_are_bases():
    assert len(BASES) >= 6


def test_names(cfg):
    assert set(cfg) >= NAMES
    assert cfg.labeled_dataset.pipeline == cfg.train_pipeline
    assert cfg.train_dataloader.dataset == cfg.labeled_dataset
    assert cfg.unlabeled_dataset.pipeline == cfg.unlabeled_pipeline
    assert cfg.test_dataloader.dataset.pipeline == cfg.test_pipeline
    classes = DATASETS.get(cfg.dataset_type).METAINFO['classes']
    assert len(classes) == cfg.num_classes


def test_training_samples(cfg):
    """Unlabelled crops have one size, so that none of them is padded."""
    dataset = DATASETS.build(dict(
        type='SemiSegDataset', labeled=cfg.labeled_dataset,
        unlabeled=cfg.unlabeled_dataset, indices=4))
    assert len(dataset.labeled) == int(
        Path(cfg.labeled_list).stem.split('-')[0])
    assert len(dataset.unlabeled) > len(dataset.labeled)
    for sample in dataset:
        image = sample['unlabeled']['inputs']
        assert image.shape == (3, *cfg.crop_size)
        labeled = sample['labeled']
        height, width = labeled['data_samples'].gt_sem_seg.shape
        assert labeled['inputs'].shape == (3, height, width)
        assert height <= cfg.crop_size[0] and width <= cfg.crop_size[1]


def test_validation_keeps_label_maps_as_they_are(cfg):
    cfg.val_dataloader.dataset.indices = 2
    cfg.val_dataloader.update(num_workers=0, persistent_workers=False)
    for batch in Runner.build_dataloader(cfg.val_dataloader):
        sample, = batch['data_samples']
        assert sample.gt_sem_seg.shape == sample.ori_shape
        assert batch['inputs'][0].shape[1:] == sample.img_shape
