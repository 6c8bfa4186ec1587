"""Random numbers that depend on the iteration, not on the past."""
import random
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS


@HOOKS.register_module()
class RandomSeedHook(Hook):
    """Derive the random numbers of iteration i from (seed, i, rank).

    A resumed run then draws what the uninterrupted run would have drawn, and
    ranks draw independently, without any state in the checkpoint. mmengine
    itself seeds once, at the start, so a resumed run would repeat the numbers
    of the beginning.

    Data are loaded before ``before_train_iter``, by transforms that use
    :mod:`random` and :mod:`numpy`; models use :mod:`torch`. The former are
    seeded for the next iteration when one ends, the latter when it begins.
    Data loader workers have their own generators, seeded by mmengine: exact
    resumption needs ``num_workers=0``.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed what draws the first batch."""
        _seed_data(runner, runner.iter)

    def before_train_iter(self,
                          runner: Runner,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Seed what the model draws in this iteration."""
        state = _entropy(runner, runner.iter).generate_state(1)
        torch.manual_seed(int(state[0]))

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Seed what draws the next batch."""
        _seed_data(runner, runner.iter + 1)

    def after_val(self, runner: Runner) -> None:
        """Seed it again, as validation may have drawn in between."""
        _seed_data(runner, runner.iter)


def _entropy(runner: Runner, iteration: int) -> np.random.SeedSequence:
    return np.random.SeedSequence((runner.seed, iteration, get_rank()))


def _seed_data(runner: Runner, iteration: int) -> None:
    state = _entropy(runner, iteration).generate_state(2)
    random.seed(int(state[0]))
    np.random.seed(int(state[1]))
