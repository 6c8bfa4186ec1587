"""Train a segmentor: ``python tools/train.py CONFIG``.

Options as in mmseg's tool of the same name. In addition several processes
train on CPUs too, and ``--cfg-options data_root=DIR`` reaches every dataset.
"""
import argparse
import os
import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner
from mmseg.registry import RUNNERS

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.apis.files import writable_folder
from mmseg_ssl.engine.environment import (
    CfgOptionsAction,
    apply_cfg_options,
    existing_checkpoint,
    init_cpu_distributed,
    keep_freed_memory,
    read_config,
)
from mmseg_ssl.engine.hooks.preflight_hook import RefusedRun


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a segmentor')
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        '--work-dir', help='logs and checkpoints (work_dirs/<config name>)')
    parser.add_argument(
        '--resume', action='store_true',
        help='go on from the latest checkpoint in the work dir')
    parser.add_argument(
        '--amp', action='store_true',
        help='automatic mixed precision (needs a GPU with CUDA)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptionsAction,
        metavar='KEY=VALUE', help='override config entries, e.g. '
        'train_cfg.max_iters=100 '
        'data_root=DIR key="[(a,b),(c,d)]"')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none')
    # torch.distributed.launch passes one spelling or the other by version
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def enable_amp(cfg: Config) -> None:
    """Turn on automatic mixed precision, or end with one line why not."""
    if get_device() in ('cpu', 'mps'):  # mps: what a Mac has
        sys.exit('--amp: mixed precision needs a GPU with CUDA and none is '
                 'visible to PyTorch; run without --amp (on a CPU with '
                 'bfloat16 units, with --cfg-options '
                 'optim_wrapper.type=BFloat16OptimWrapper)')
    wrapper = cfg.optim_wrapper
    if wrapper.type not in ('OptimWrapper', 'AmpOptimWrapper'):
        sys.exit(f'--amp: optim_wrapper.type must be OptimWrapper, got '
                 f'{wrapper.type}')
    wrapper.type = 'AmpOptimWrapper'
    wrapper.setdefault('loss_scale', 'dynamic')


def load_config(args: argparse.Namespace) -> Config:
    """The config with everything the command line says about it.

    Raises:
        OSError: The config or its checkpoint does not exist, or the work
            directory cannot be written to.
        ValueError: An option does not fit the config.
    """
    cfg = read_config(args.config)
    apply_cfg_options(cfg, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = (args.work_dir or cfg.get('work_dir')
                    or f'work_dirs/{Path(args.config).stem}')
    if args.resume:
        cfg.resume = True
    if args.amp:
        enable_amp(cfg)
    if cfg.get('load_from'):
        existing_checkpoint(cfg.load_from)
    writable_folder(cfg.work_dir)
    return cfg


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    try:
        cfg = load_config(args)
    except (OSError, ValueError) as error:
        sys.exit(f'train.py: {error}')
    init_cpu_distributed(cfg)
    if 'runner_type' in cfg:
        runner = RUNNERS.build(cfg)
    else:
        runner = Runner.from_cfg(cfg)
    try:
        runner.train()
    except RefusedRun as error:
        sys.exit(f'train.py: {error}')


if __name__ == '__main__':
    main()
