"""Which trainings count as finished, and which may go on."""
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_ssl.engine.progress import (
    check_options,
    is_finished,
    latest_checkpoint,
    record_options,
    requested_config,
)


@pytest.fixture
def write(tmp_path):
    """Leave a checkpoint as mmengine does."""

    def write_checkpoint(done, max_iters=10, max_epochs=1):
        path = tmp_path / f'iter_{done}.pth'
        length = dict(max_iters=max_iters, max_epochs=max_epochs)
        torch.save(dict(
            meta=dict(iter=done, epoch=0), state_dict={},
            message_hub=dict(runtime_info=length)), path)
        (tmp_path / 'last_checkpoint').write_text(f'/moved/since/{path.name}')
        return tmp_path

    return write_checkpoint


@pytest.mark.parametrize('done, train_cfg, finished', [
    (10, dict(max_iters=10), True),
    (5, dict(max_iters=10), False),
    (10, dict(max_iters=20), False),  # a longer training is asked for now
    (10, dict(max_epochs=1), True),
    (10, dict(max_epochs=2), False),
])
def test_is_finished(write, done, train_cfg, finished):
    work_dir = write(done)
    assert is_finished(Config(dict(train_cfg=train_cfg)), work_dir) == finished


def test_nothing_trained(tmp_path):
    cfg = Config(dict(train_cfg=dict(max_iters=1)))
    assert not is_finished(cfg, tmp_path)
    assert not is_finished(cfg, tmp_path / 'absent')


def test_a_lost_checkpoint_is_named(write):
    work_dir = write(10)
    (work_dir / 'iter_10.pth').unlink()
    with pytest.raises(FileNotFoundError, match='iter_10.pth'):
        latest_checkpoint(work_dir)


def test_options_reach_the_requested_config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text("data_root = 'a'\ntrain_cfg = dict(max_iters=10)\n"
                    'dataset = dict(data_root=data_root)\n')
    cfg = requested_config(path, ['train_cfg.max_iters=20', 'data_root=b c'])
    assert cfg.train_cfg.max_iters == 20
    assert cfg.dataset.data_root == 'b c'
    assert requested_config(path, []).train_cfg.max_iters == 10


class TestOptions:
    """What was begun is not gone on with as something else."""

    BEGUN = ['partial_labels=p1', 'data_root=a', 'lr=1']

    @pytest.mark.parametrize('options', [
        ['lr=1', 'partial_labels=p1'],
        [*BEGUN, 'train_dataloader.num_workers=0',
         'train_dataloader.persistent_workers=False'],
        ['lr=2', 'partial_labels=p1', 'data_root=b', 'lr=1'],
    ])
    def test_same(self, tmp_path, options):
        record_options(tmp_path / 'new', self.BEGUN)
        check_options(tmp_path / 'new', options)

    @pytest.mark.parametrize('options, message', [
        (['lr=1'], r'partial_labels \(p1 before, not given now\)'),
        (['lr=1', 'partial_labels=p2'], r'options: partial_labels \(p1 bef'),
        ([*BEGUN, 'seed=1'], r'seed \(not given before, 1 now\)'),
        (['lr=2'], r'lr \(1 before, 2 now\), partial_labels'),
    ])
    def test_other(self, tmp_path, options, message):
        record_options(tmp_path, self.BEGUN)
        record_options(tmp_path, options)  # does not change the first
        with pytest.raises(ValueError, match=message):
            check_options(tmp_path, options)

    def test_work_directories_without_a_record(self, write, tmp_path):
        """Of earlier versions, or of train.py itself."""
        check_options(tmp_path / 'absent', ['a=1'])
        work_dir = write(10)
        record_options(work_dir, ['a=1'])
        check_options(work_dir, ['a=2'])


@pytest.fixture
def train_all(monkeypatch, tmp_path):
    """Call ``tools/train_all.py``; trainings leave a last checkpoint."""
    tool = Path(__file__).resolve().parents[2] / 'tools/train_all.py'
    config = tmp_path / 'net.py'
    config.write_text(
        "labels = data_root = 'a'\ntrain_cfg = dict(max_iters=10)\n")
    trained = []

    def run(command):
        work_dir = Path(command[command.index('--work-dir') + 1])
        trained.append(command)
        torch.save(dict(
            meta=dict(iter=10, epoch=0), state_dict={},
            message_hub=dict(runtime_info=dict(max_iters=10, max_epochs=1))),
            work_dir / 'iter_10.pth')
        (work_dir / 'last_checkpoint').write_text('iter_10.pth')
        return subprocess.CompletedProcess(command, 0)

    def call(*options):
        monkeypatch.setattr(subprocess, 'run', run)
        monkeypatch.setattr(sys, 'argv', [
            'train_all.py', str(config), '--work-root', str(tmp_path / 'work'),
            '--cfg-options', 'data_root=x', *options])
        runpy.run_path(str(tool))['main']()
        return len(trained)

    return call


def test_train_all_refuses_other_options(train_all, capsys):
    assert train_all('labels=b') == 1
    assert train_all('labels=b', 'a.num_workers=0') == 1
    assert 'finished before' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=(
            r'work/net was begun .*labels \(b before, c now\)')):
        train_all('labels=c')
