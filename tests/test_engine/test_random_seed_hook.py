import random
import uuid
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmseg_ssl.engine import RandomSeedHook
from mmseg_ssl.engine.hooks import random_seed_hook


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


class Noise(Dataset):
    """Samples that are nothing but what the loading of data draws."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([index, *draw()[:2]], dtype=torch.double)


def stack(samples: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(data=torch.stack(samples))


class Model(BaseModel):
    """Keeps what it sees and draws."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def forward(self, data, mode='tensor'):
        if mode == 'predict':
            return [dict(pred=0) for _ in data]
        self.seen.append((data.tolist(), torch.rand(3).tolist()))
        return dict(loss=self.weight * 0)


class DrawingValidation(Hook):
    """A validation that uses random numbers of its own."""

    def after_val_iter(self, runner, *args, **kwargs) -> None:
        draw()


@pytest.fixture
def run(tmp_path):
    """Train on noise; returns what the model saw in each iteration."""

    def train(max_iters: int, with_hook: bool = True, **kwargs) -> list:
        loader = dict(batch_size=2, num_workers=0, dataset=Noise(),
                      collate_fn=stack,
                      sampler=dict(type='InfiniteSampler', shuffle=True))
        kwargs = dict(dict(randomness=dict(seed=3)), **kwargs)
        runner = Runner(
            model=Model(), work_dir=str(tmp_path), train_dataloader=loader,
            experiment_name=uuid.uuid4().hex, log_level='WARNING',
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            train_cfg=dict(by_epoch=False, max_iters=max_iters,
                           val_interval=2),
            val_cfg=dict(), val_evaluator=dict(type='DumpResults',
                                               out_file_path=str(
                                                   tmp_path / 'out.pkl')),
            val_dataloader={**loader, 'sampler': dict(
                type='DefaultSampler', shuffle=False)},
            default_hooks=dict(checkpoint=dict(
                type='CheckpointHook', by_epoch=False, interval=1)),
            custom_hooks=[DrawingValidation()] + (
                [RandomSeedHook()] if with_hook else []), **kwargs)
        runner.train()
        return runner.model.seen

    return train


@pytest.mark.usefixtures('sampler_that_skips')
@pytest.mark.parametrize('stop', [1, 2, 3])
def test_a_resumed_run_draws_what_the_other_drew(run, stop):
    whole = run(6)
    first = run(stop)
    torch.rand(100), np.random.rand(9)  # another process, another past
    resumed = run(6, resume=True, load_from=None)
    assert first + resumed[:6 - stop] == whole[:stop] + whole[stop:]


def test_without_the_hook_it_would_not(run):
    whole = run(6, with_hook=False)
    run(3, with_hook=False)
    assert run(6, with_hook=False, resume=True) != whole[3:]


def test_iterations_draw_different_numbers(run):
    seen = run(6)
    drawn = [tuple(rand) for _, rand in seen]
    loaded = [tuple(sample[1:]) for data, _ in seen for sample in data]
    assert len(set(drawn)) == 6
    assert len(set(loaded)) == 12


def test_the_seed_decides(run):
    assert run(3) == run(3)
    assert run(3) != run(3, randomness=dict(seed=4))


def test_ranks_draw_different_numbers(monkeypatch):
    runner = SimpleNamespace(seed=0, iter=5)
    draws = []
    for rank in (0, 1, 1):
        monkeypatch.setattr(random_seed_hook, 'get_rank', lambda r=rank: r)
        hook = RandomSeedHook()
        hook.after_train_iter(SimpleNamespace(seed=0, iter=4), 4)
        hook.before_train_iter(runner, 5)
        draws.append(draw())
    assert all(a != b for a, b in zip(draws[0], draws[1]))
    assert draws[1] == draws[2]
