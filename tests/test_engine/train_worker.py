"""Train as tools/train.py does; every rank writes what it ended with.

``torchrun train_worker.py CONFIG``: the config comes from a test.
"""
import sys

import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

import mmseg_ssl  # noqa: F401  (registers everything)
from mmseg_ssl.engine.environment import init_cpu_distributed


class Losses(Hook):
    """Keep the losses of this process."""

    def __init__(self) -> None:
        self.values = []

    def after_train_iter(self, runner, batch_idx, data_batch=None,
                         outputs=None) -> None:
        self.values.append(
            {key: float(value.detach()) for key, value in outputs.items()})


def main() -> None:
    cfg = Config.fromfile(sys.argv[1])
    cfg = Config(cfg.to_dict(), cfg_text=cfg.text, filename=cfg.filename,
                 format_python_code=False)  # formatting takes seconds
    init_cpu_distributed(cfg)
    runner = Runner.from_cfg(cfg)
    losses = Losses()
    runner.register_hook(losses)
    runner.train()
    model = runner.model
    wrapped = is_model_wrapper(model)
    state_dict = (model.module if wrapped else model).state_dict()
    torch.save(
        dict(state_dict=state_dict, losses=losses.values, wrapped=wrapped),
        f'{cfg.work_dir}/rank{get_rank()}.pth')


if __name__ == '__main__':
    main()
