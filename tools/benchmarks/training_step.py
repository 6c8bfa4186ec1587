"""Time and memory of a training step, config by config, in the same run.

``python tools/benchmarks/training_step.py CONFIG [CONFIG ...]`` trains each
config for a few iterations in a process of its own and prints a table: the
median seconds of an iteration (data loading included) and its ratio to the
first config, the peak memory of the process, and the share of the contrast
loss (its forward and backward on the tensors of the last step) in the step.
Nothing else should run on the machine meanwhile.
"""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import Runner
from torch import Tensor, nn

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine import ChannelsLastHook
from mmseg_ssl.engine.environment import (
    CfgOptionsAction,
    apply_cfg_options,
    keep_freed_memory,
)
from mmseg_ssl.methods.reco import RegionalContrastLoss


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='+')
    parser.add_argument('--iters', type=int, default=40)
    parser.add_argument('--warmup', type=int, default=10)
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptionsAction)
    parser.add_argument('--one', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args()


def synchronize(device: str) -> None:
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)


def build(cfg: Config, device: str) -> tuple[nn.Module, Runner]:
    """A model and a runner that serves its data and its optimiser."""
    cfg.work_dir = tempfile.mkdtemp()
    cfg.log_level = 'WARNING'
    cfg.custom_hooks = []
    runner = Runner.from_cfg(cfg)
    model = runner.model
    if device == 'cpu':
        model = revert_sync_batchnorm(model)
    model.init_weights()
    model.train().to(device)
    ChannelsLastHook().before_run(runner)  # as the configs do
    return model, runner


def peak_memory_mb(device: str) -> float:
    """Peak memory on the GPU, or of this process on the CPU."""
    if device.startswith('cuda'):
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def time_contrast_loss(loss: RegionalContrastLoss,
                       inputs: tuple[Tensor, Tensor, Tensor],
                       device: str) -> float:
    """Median seconds of the loss's forward and backward."""
    embedding, label, prob = (x.detach() for x in inputs)
    embedding.requires_grad_()
    seconds = []
    for _ in range(10):
        synchronize(device)
        start = time.perf_counter()
        loss(embedding, label, prob).backward()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Train one config for a few iterations."""
    keep_freed_memory()
    cfg = Config.fromfile(args.configs[0])
    apply_cfg_options(cfg, args.cfg_options)
    model, runner = build(cfg, args.device)
    batches = iter(runner.build_dataloader(cfg.train_dataloader))
    optim_wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    contrast = [
        m for m in model.modules() if isinstance(m, RegionalContrastLoss)
    ]
    captured = []
    for module in contrast:
        module.register_forward_pre_hook(
            lambda _, inputs: captured.__setitem__(slice(None), inputs))

    seconds = []
    for _ in range(args.warmup + args.iters):
        synchronize(args.device)
        start = time.perf_counter()
        model.train_step(next(batches), optim_wrapper)
        if hasattr(model, 'teacher'):
            model.teacher.update_parameters(model.student)
        synchronize(args.device)
        seconds.append(time.perf_counter() - start)
    step = statistics.median(seconds[args.warmup:])
    result = dict(step=step, memory=peak_memory_mb(args.device), share=0.0)
    if contrast:
        inputs = tuple(captured)
        result['share'] = time_contrast_loss(contrast[0], inputs,
                                             args.device) / step
    return result


def measure_in_subprocess(config: str) -> dict[str, float]:
    argv = [arg for arg in sys.argv[1:] if arg not in parse_args().configs]
    out = subprocess.run([sys.executable, __file__, config, '--one', *argv],
                         check=True,
                         stdout=subprocess.PIPE,
                         text=True).stdout
    return json.loads(out.splitlines()[-1])


def main() -> None:
    args = parse_args()
    if args.one:
        print(json.dumps(measure(args)))
        return
    print(f'{args.device}, {torch.get_num_threads()} threads, '
          f'torch {torch.__version__}')
    print('| config | s/iter | ratio | peak MB | contrast loss |\n'
          '|---|---|---|---|---|')
    reference = None
    for config in args.configs:
        result = measure_in_subprocess(config)
        reference = reference or result['step']
        print(
            f'| {Path(config).stem} | {result["step"]:.3f} '
            f'| {result["step"] / reference:.2f} | {result["memory"]:.0f} '
            f'| {result["share"]:.0%} |',
            flush=True)


if __name__ == '__main__':
    main()
