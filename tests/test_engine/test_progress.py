"""Which trainings count as finished."""
import pytest
import torch
from mmengine.config import Config

from mmseg_ssl.engine.progress import (
    is_finished,
    latest_checkpoint,
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
