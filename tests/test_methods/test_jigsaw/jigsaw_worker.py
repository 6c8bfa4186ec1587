"""Evaluate, then train, as one of several processes.

``torchrun jigsaw_worker.py CONFIG``: the config comes from a test; every rank
writes what it ended with.
"""
import sys

import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

import mmseg_ssl  # noqa: F401  (registers everything)
from mmseg_ssl.engine.environment import init_cpu_distributed


class Losses(Hook):
    """Keep the losses of this process."""

    def __init__(self) -> None:
        self.values = []

    def after_train_iter(self, runner, batch_idx, data_batch=None,
                         outputs=None) -> None:
        self.values.append(float(outputs['loss'].detach()))


def main() -> None:
    cfg = Config.fromfile(sys.argv[1])
    cfg = Config(cfg.to_dict(), format_python_code=False)
    init_cpu_distributed(cfg)
    runner = Runner.from_cfg(cfg)
    accuracy = runner.val()
    losses = Losses()
    runner.register_hook(losses)
    runner.train()
    torch.save(
        dict(state_dict=runner.model.module.state_dict(),
             losses=losses.values, accuracy=accuracy),
        f'{cfg.work_dir}/rank{get_rank()}.pth')


if __name__ == '__main__':
    main()
