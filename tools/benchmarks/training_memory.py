"""Memory and time of a training step at the size of a config, without data.

::

    python tools/benchmarks/training_memory.py CONFIG [CONFIG ...] [--steps 2]

trains each config for a few steps in a process of its own, on random images
of the config's crop size and in batches of its size, and prints a table: the
seconds of the last step; the memory of the process before the steps (model,
optimiser and batch) and at its peak; what the steps added, and by how much
that differs from the first config. On a GPU (``--device cuda``) it is the
memory of tensors, else the resident memory of the process; nothing else should
run on the machine meanwhile.

The worst case is measured: all classes are in every image, and every
unlabelled pixel joins ReCo's contrast. Weights are random, as memory and time
do not depend on them. ReCo against ClassMix at the paper's size::

    N=r101-d16-deeplabv3plus_1xb2-40k_cityscapes-20l
    python tools/benchmarks/training_memory.py \
        configs/mean_teacher/mean-teacher-classmix_$N.py \
        configs/reco/reco-classmix_$N.py
"""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine import ChannelsLastHook
from mmseg_ssl.engine.hooks.process_memory_hook import peak_process_memory

CELL = 32  # side of the squares of one class, in pixels


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='+', type=Path)
    parser.add_argument(
        '--steps', type=int, default=2,
        help='the first makes the state of the optimiser (2)')
    parser.add_argument(
        '--crop', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'),
        help="of the images (the config's crop_size)")
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--one', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.steps < 1:
        parser.error(f'--steps must be at least 1, got {args.steps}')
    return args


def random_branch(num: int, size: tuple[int, int], num_classes: int) -> dict:
    """A collated batch of images, each with squares of all classes."""
    height, width = size
    grid = (-(-height // CELL), -(-width // CELL))
    inputs, samples = [], []
    for _ in range(num):
        inputs.append(torch.randint(256, (3, *size), dtype=torch.uint8))
        # row after row, as small crops have less cells than classes
        cells = (torch.randperm(grid[0] * grid[1]) % num_classes).view(grid)
        labels = cells.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)
        samples.append(SegDataSample(
            metainfo=dict(img_shape=size, ori_shape=size),
            gt_sem_seg=PixelData(data=labels[None, :height, :width])))
    return dict(inputs=inputs, data_samples=samples)


def random_batch(cfg: Config, size: tuple[int, int]) -> dict:
    """A batch as the config's data loader would make it."""
    loader = cfg.train_dataloader
    if loader.dataset.type != 'SemiSegDataset':
        return random_branch(loader.batch_size, size, cfg.num_classes)
    return {branch: random_branch(loader.batch_size, size, cfg.num_classes)
            for branch in ('labeled', 'unlabeled')}


def build_model(cfg: Config, size: tuple[int, int], device: str) -> nn.Module:
    """The model of a config with random weights, ready to be trained."""
    model = MODELS.build(cfg.model)
    if not device.startswith('cuda'):
        model = revert_sync_batchnorm(model)
    model.data_preprocessor.size = size
    if hasattr(model, 'weak_threshold'):
        model.weak_threshold = 0.0  # every pixel joins the contrast
    model.train().to(device)
    ChannelsLastHook().before_run(SimpleNamespace(model=model))
    return model


def peak_memory(device: str) -> float:
    """Peak so far, in MiB."""
    if device.startswith('cuda'):
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_process_memory()


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Seconds of the last step, and memory in MiB before and at the peak."""
    torch.manual_seed(0)
    cfg = Config.fromfile(args.configs[0])
    init_default_scope('mmseg')
    size = tuple(args.crop or cfg.crop_size)
    model = build_model(cfg, size, args.device)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = random_batch(cfg, size)
    before = peak_memory(args.device)
    for _ in range(args.steps):
        start = time.perf_counter()
        model.train_step(batch, optim_wrapper)
        if hasattr(model, 'teacher'):
            model.teacher.update_parameters(model.student)
        if args.device.startswith('cuda'):
            torch.cuda.synchronize(args.device)
        seconds = time.perf_counter() - start
    return dict(seconds=seconds, before=before, peak=peak_memory(args.device))


def measure_in_subprocess(config: Path,
                          args: argparse.Namespace) -> dict[str, float]:
    """:func:`measure` in a fresh process."""
    command = [sys.executable, __file__, config, '--one', '--steps',
               str(args.steps), '--device', args.device]
    if args.crop:
        command += ['--crop', *map(str, args.crop)]
    out = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(out.splitlines()[-1])


def main() -> None:
    args = parse_args()
    if args.one:
        print(json.dumps(measure(args)))
        return
    print(f'{args.device}, {torch.get_num_threads()} threads, '
          f'torch {torch.__version__}')
    print('| config | s/step | MiB before | MiB peak | MiB of the steps | '
          'against the first |\n|---|---|---|---|---|---|')
    first = None
    for config in args.configs:
        found = measure_in_subprocess(config, args)
        found['steps'] = found['peak'] - found['before']
        first = first or found
        print(f'| {config.stem} | {found["seconds"]:.2f} '
              f'| {found["before"]:.0f} | {found["peak"]:.0f} '
              f'| {found["steps"]:.0f} '
              f'| {found["seconds"] / first["seconds"]:.2f} times, '
              f'{found["peak"] - first["peak"]:+.0f} MiB |', flush=True)


if __name__ == '__main__':
    main()
