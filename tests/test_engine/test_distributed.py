"""Two processes on a CPU (gloo) train one model."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS

WORKER = Path(__file__).with_name('train_worker.py')
NO_AUGMENTATION = dict(
    scale=(1.0, 1.0), jitter_prob=0.0, blur_prob=0.0, flip_prob=0.0)


@pytest.fixture
def train_on_two(project_root, tmp_path):
    """Train a config with two processes; returns what each ended with."""

    def run(cfg: Config) -> list[dict]:
        cfg.launcher = 'pytorch'
        path = tmp_path / 'two_processes.py'
        path.write_text(cfg.pretty_text)
        process = subprocess.run(
            [sys.executable, '-m', 'torch.distributed.run', '--standalone',
             '--nproc_per_node=2', str(WORKER), str(path)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=500, env={**os.environ, 'OMP_NUM_THREADS': '1',
                              'CUDA_VISIBLE_DEVICES': '',
                              'PYTHONPATH': str(project_root)})
        assert process.returncode == 0, process.stdout[-4000:]
        results = [
            torch.load(f'{cfg.work_dir}/rank{rank}.pth') for rank in (0, 1)]
        assert all(result['wrapped'] for result in results)
        return results

    return run


def test_camvid_config_keeps_both_ranks_equal(
        shrunken_config, train_on_two, project_root):
    path, = (project_root / 'configs/reco').glob(
        'reco-classmix_mbv2-*_camvid-120x160-20l.py')
    cfg = shrunken_config(path)
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=20, val_interval=20)
    ranks = train_on_two(cfg)

    first, second = (rank['state_dict'] for rank in ranks)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
        assert value.isfinite().all(), key
    assert first['teacher.steps'] == 20
    # equal in spite of different images: the losses are not
    losses = [[log['loss_ce'] for log in rank['losses']] for rank in ranks]
    assert len(losses[0]) == 20
    assert all(a != b for a, b in zip(*losses))
    # statistics were gathered, and teacher and student are not the same
    mean = 'student.backbone.conv1.bn.running_mean'
    weight = 'student.backbone.conv1.conv.weight'
    assert first[mean].abs().sum() > 0
    for key in (mean, weight):
        other = key.replace('student', 'teacher.module')
        assert not torch.equal(first[key], first[other])


@pytest.fixture
def make_exact_cfg(make_cfg, tiny_segmentor, tmp_path):
    """A run in which two halves of a batch mean the same as the whole.

    No batch norm, no random choice of data, no mixing between images, and
    the same number of valid pixels in each image.
    """
    segmentor = tiny_segmentor('fcn_r18-d16')
    segmentor.backbone.norm_cfg = dict(type='GN', num_groups=4)
    segmentor.decode_head.norm_cfg = dict(type='GN', num_groups=4)
    init = tmp_path / 'init.pth'
    net = MODELS.build(segmentor)
    torch.nn.init.normal_(net.decode_head.conv_seg.weight, std=0.5)
    torch.save(dict(state_dict=net.state_dict()), init)

    def make(batch_size: int, name: str) -> Config:
        model = dict(
            type='MeanTeacher', segmentor=segmentor, mixing=None,
            strong_threshold=0.45, momentum=0.1,
            augmentation=NO_AUGMENTATION)
        cfg = make_cfg(
            model, max_iters=5, load_from=str(init),
            work_dir=str(tmp_path / name),
            train_dataloader=dict(
                batch_size=batch_size, sampler=dict(shuffle=False)))
        for dataset in (cfg.train_dataloader.dataset.labeled,
                        cfg.train_dataloader.dataset.unlabeled):
            dataset.pipeline = [t for t in dataset.pipeline
                                if t['type'] != 'RandomFlip']
        cfg.train_dataloader.dataset.labeled.indices = 1  # no choice
        return cfg

    return make


def test_two_halves_of_a_batch_equal_the_whole(make_exact_cfg, train_on_two):
    runner = Runner.from_cfg(make_exact_cfg(4, 'one_process'))
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.train()
    whole = runner.model.state_dict()
    ranks = train_on_two(make_exact_cfg(2, 'two_processes'))

    for key, value in whole.items():
        for rank in ranks:
            torch.testing.assert_close(
                rank['state_dict'][key], value, rtol=1e-4, atol=1e-5,
                msg=lambda text, key=key: f'{key}: {text}')
    for net in ('student', 'teacher.module'):
        moved = (whole[f'{net}.backbone.conv1.weight'] -
                 before[f'{net}.backbone.conv1.weight']).abs().max()
        assert moved > 1e-3  # far above the tolerance
    losses = [[log['loss_unsup'] for log in rank['losses']] for rank in ranks]
    assert all(a != b for a, b in zip(*losses))
    assert all(loss > 0 for rank in losses for loss in rank)
