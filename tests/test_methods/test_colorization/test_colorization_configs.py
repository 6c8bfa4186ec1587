"""Every config of colorization builds, and one is trained."""
import copy
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_ssl.backbones import receptive_fields

CONFIG_DIR = Path(__file__).resolve().parents[3] / 'configs/colorization'
CONFIGS = sorted(CONFIG_DIR.glob('*.py'))
MSRC = CONFIG_DIR / 'colorization_alexnet-w50_1xb16-2k_msrc21-112x112.py'


def name_of(path: Path) -> str:
    return path.stem


def test_configs_are_found():
    assert len(CONFIGS) >= 3 and MSRC in CONFIGS


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_builds_and_agrees_with_its_name(path):
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(copy.deepcopy(cfg.model)).eval()
        maps = model(torch.empty(1, 3, *cfg.crop_size))
    assert [x.size(1) for x in maps] == list(cfg.model.head.in_channels)
    assert tuple(cfg.model.data_preprocessor.size) == tuple(cfg.crop_size)
    batch_size, thousands = map(int, re.search(
        r'_1xb(\d+)-(\d+)k_', path.stem).groups())
    assert cfg.train_dataloader.batch_size == batch_size
    assert cfg.train_cfg.max_iters == 1000 * thousands
    types = [t.type for t in cfg.train_dataloader.dataset.pipeline]
    assert 'PhotoMetricDistortion' not in types


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_grids_are_the_receptive_fields(path):
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        net = MODELS.build(copy.deepcopy(cfg.model.backbone))
    fields = receptive_fields(net, channels=net.in_channels)
    # poolings are one module, known by what they are called last
    layers = [name for name in net.out_layers if name != 'pool5']
    modules = {name: f'vgg.features.{index}' for name, index in getattr(
        net, 'layers', {}).items()}
    assert len(cfg.model.head.grids) == len(net.out_layers)
    for name, grid in zip(layers, cfg.model.head.grids):
        height, width = fields[modules.get(name, name)]
        assert (height.stride, height.offset) == tuple(grid), name
        assert height == width
    if 'pool5' in net.out_layers:
        pool = fields['pool'][0]
        assert (pool.stride, pool.offset) == tuple(cfg.model.head.grids[-1])


def test_takes_steps(scenes_on_disk, tmp_path):
    cfg = Config.fromfile(MSRC)
    dataset = cfg.train_dataloader.dataset
    dataset.update(data_root=str(scenes_on_disk), serialize_data=False)
    dataset.pipeline[1].scale = (64, 64)
    dataset.pipeline[2].crop_size = (64, 64)
    cfg.model.data_preprocessor.size = (64, 64)
    cfg.train_dataloader.update(
        batch_size=2, num_workers=0, persistent_workers=False)
    cfg.train_cfg.max_iters = 2
    cfg.default_hooks.checkpoint = None
    cfg.work_dir = str(tmp_path)
    cfg.visualizer.name = tmp_path.name
    cfg.log_level = 'WARNING'
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    before = {name: p.detach().clone()
              for name, p in runner.model.named_parameters()}
    runner.train()
    assert [name for name, p in runner.model.named_parameters()
            if torch.equal(p, before[name])] == []
