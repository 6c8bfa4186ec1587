"""Every shipped config can be read, built and trained."""
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS

CONFIG_DIR = Path(__file__).resolve().parents[1] / 'configs'
EVERY_CONFIG = sorted(
    path for path in CONFIG_DIR.rglob('*.py')
    if '_base_' not in path.relative_to(CONFIG_DIR).parts)
# Folders whose models predict no classes; their tests are in
# tests/test_methods/test_<folder>/test_<folder>_configs.py (picie: fs4).
OWN_TESTS = {'colorization', 'fs4', 'jigsaw', 'mix_and_match', 'picie'}
# Those at the sizes of the papers are in tests/test_paper_configs.py.
CONFIGS = [path for path in EVERY_CONFIG if path.parent.name not in OWN_TESTS
           and '_r101-' not in path.stem]

HAVE_TEACHER = {'MeanTeacher', 'PartialLabelMeanTeacher', 'ReCo',
                'PartialLabelReCo', 'S4GAN'}


def segmentor_of(model: dict) -> dict:
    """The config of the EncoderDecoder, inside a method or not."""
    return model.get('segmentor', model)


def architecture(path: Path) -> tuple:
    """What makes a model different from another: method, backbone, head."""
    cfg = Config.fromfile(path)
    segmentor = segmentor_of(cfg.model)
    head = segmentor.decode_head
    inner = head.get('head', {}).get('type')
    return (cfg.model.type, segmentor.backbone.type,
            segmentor.backbone.get('depth'), head.type, inner,
            'loss_contrast' in head)


ONE_PER_ARCHITECTURE = list({
    architecture(path): path for path in reversed(CONFIGS)}.values())


def name_of(path: Path) -> str:
    return path.stem


def test_configs_are_found():
    names = {path.stem.split('_')[0] for path in CONFIGS}
    assert {'supervised', 'mean-teacher', 'mean-teacher-cutout',
            'mean-teacher-cutmix', 'mean-teacher-classmix', 'reco',
            'reco-cutout', 'reco-cutmix', 'reco-classmix',
            's4gan'} <= names
    assert len(CONFIGS) >= 20
    assert len(ONE_PER_ARCHITECTURE) >= 12


def test_names_are_unique():
    counts = Counter(path.name for path in EVERY_CONFIG)
    assert [name for name, count in counts.items() if count > 1] == []


def test_names_start_with_the_method_of_their_folder():
    for path in EVERY_CONFIG:
        method = path.parent.name.replace('_', '-')
        assert path.stem.split('_')[0].startswith(method), path


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_builds_and_agrees_with_its_name(path):
    cfg = Config.fromfile(path)
    MODELS.build(cfg.model)
    hooks = [hook['type'] for hook in cfg.custom_hooks]
    assert ('MeanTeacherHook' in hooks) == (
        cfg.model.type in HAVE_TEACHER)
    assert 'RandomSeedHook' in hooks and 'PreflightHook' in hooks

    segmentor = segmentor_of(cfg.model)
    head = segmentor.decode_head
    num_classes = head.get('head', head).num_classes
    dataset = DATASETS.get(cfg.dataset_type)
    assert num_classes == cfg.num_classes == len(dataset.METAINFO['classes'])
    assert tuple(cfg.model.get('data_preprocessor', segmentor.get(
        'data_preprocessor')).size) == tuple(cfg.crop_size)

    method, _, setting = path.stem.split('_')[0:3]
    mixing = next((mix for mix in ('cutout', 'cutmix', 'classmix')
                   if method.endswith(mix)), None)
    assert cfg.model.get('mixing') == mixing
    batch_size = int(setting.split('-')[0].removeprefix('1xb'))
    assert cfg.train_dataloader.batch_size == batch_size


class Watch(Hook):
    """Keep what training logs, and the weights it starts with."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if batch_idx == 0:
            self.start = {name: p.detach().clone()
                          for name, p in runner.model.named_parameters()}

    def after_train_iter(self, runner, batch_idx, data_batch=None,
                         outputs=None) -> None:
        self.outputs = outputs


@pytest.mark.parametrize('path', ONE_PER_ARCHITECTURE, ids=name_of)
def test_takes_steps(path, shrunken_config):
    """Two of them: residual branches start with a zero behind them."""
    cfg = shrunken_config(path)
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=2, val_interval=2)
    watch = Watch()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(watch)
    runner.train()

    assert 'loss' in watch.outputs
    for key, value in watch.outputs.items():
        assert torch.isfinite(value).all(), key
    assert ('loss_unsup' in watch.outputs) == ('segmentor' in cfg.model)
    assert any('loss_reco' in key for key in watch.outputs) == (
        path.parent.name == 'reco')
    still = [name for name, p in runner.model.named_parameters()
             if torch.equal(p, watch.start[name])]
    assert still == []
    assert runner.message_hub.get_scalar('val/mIoU').current() >= 0
