"""Two processes on a CPU (gloo), and a run that was interrupted."""
import os
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from PIL import Image

from mmseg_ssl.datasets.scenes import paint_scene

WORKER = Path(__file__).with_name('jigsaw_worker.py')
MODEL = dict(
    type='JigsawFCN', grid=3, gap=2, grey_prob=0.5,
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[120.] * 3,
                           std=[60.] * 3, size=(96, 96)),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8,
                  norm_cfg=dict(type='BN')),
    head=dict(type='PatchPositionHead', in_channels=64, hidden_channels=16))


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    """7 images: two processes share them unequally."""
    root = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    for i in range(7):
        Image.fromarray(paint_scene(96, 96, rng)[0]).save(root / f'{i}.png')
    return root


@pytest.fixture
def make(project_root, images, tmp_path):

    def loader(batch_size: int, sampler: str, shuffle: bool) -> dict:
        return dict(
            batch_size=batch_size, num_workers=0,
            sampler=dict(type=sampler, shuffle=shuffle),
            dataset=dict(
                type='UnlabeledDataset', data_root=str(images),
                serialize_data=False, pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='RandomFlip', prob=0.5 if shuffle else 0.),
                    dict(type='PackSegInputs')]))

    def config(name: str, max_iters: int = 4, **options) -> Config:
        cfg = Config.fromfile(project_root / 'configs/_base_/'
                              'default_runtime.py')
        cfg = Config(cfg.to_dict(), format_python_code=False)
        cfg.merge_from_dict(dict(
            model=MODEL,
            train_dataloader=loader(4, 'InfiniteSampler', True),
            val_dataloader=loader(2, 'DefaultSampler', False),
            val_evaluator=dict(type='PatchAccuracy'),
            val_cfg=dict(type='ValLoop'),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(
                type='SGD', lr=0.05, momentum=0.9)),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=max_iters,
                           val_interval=2),
            default_hooks=dict(
                checkpoint=dict(interval=2, save_best=None)),
            log_level='WARNING', work_dir=str(tmp_path / name)))
        cfg.experiment_name = cfg.visualizer.name = uuid.uuid4().hex
        cfg.merge_from_dict(options)
        return cfg

    return config


def run_on_two(cfg: Config, root: Path) -> list[dict]:
    """Train, then evaluate, with two processes; what each ended with."""
    cfg.launcher = 'pytorch'
    path = Path(cfg.work_dir + '.py')
    path.write_text(cfg.pretty_text)
    process = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone',
         '--nproc_per_node=2', str(WORKER), str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=500, env={**os.environ, 'OMP_NUM_THREADS': '1',
                          'CUDA_VISIBLE_DEVICES': '',
                          'PYTHONPATH': str(root)})
    assert process.returncode == 0, process.stdout[-4000:]
    return [torch.load(f'{cfg.work_dir}/rank{rank}.pth') for rank in (0, 1)]


def test_two_processes_train_and_agree_with_one_on_the_accuracy(
        make, project_root, tmp_path):
    init = MODELS.build(MODEL)
    init.init_weights()
    # predictions of an untrained head would all be the same cell
    torch.nn.init.normal_(init.head.classifier.weight)
    path = tmp_path / 'init.pth'
    torch.save(dict(state_dict=init.state_dict()), path)

    ranks = run_on_two(make('two', load_from=str(path)), project_root)
    one = Runner.from_cfg(make('one', load_from=str(path)))
    expected = one.val()
    assert 0 < expected['movable_acc'] < 100
    assert ranks[0]['accuracy'] == expected

    first, second = (rank['state_dict'] for rank in ranks)
    for name, _ in init.named_parameters():
        assert torch.equal(first[name], second[name]), name
        assert first[name].isfinite().all()
    assert not torch.equal(first['head.hidden.weight'],
                           init.head.hidden.weight)
    # other images and other puzzles on each
    assert all(a != b for a, b in zip(*(rank['losses'] for rank in ranks)))


def test_resumed_run_equals_the_uninterrupted_one(make):
    whole = Runner.from_cfg(make('whole'))
    whole.train()
    Runner.from_cfg(make('resumed', max_iters=2)).train()
    torch.manual_seed(99)
    resumed = Runner.from_cfg(make('resumed', resume=True))
    resumed.train()
    assert resumed.iter == whole.iter == 4
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    for key in ('val/movable_acc', 'val/acc'):
        assert (resumed.message_hub.get_scalar(key).current()
                == whole.message_hub.get_scalar(key).current())
