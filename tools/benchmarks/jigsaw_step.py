"""Time of a jigsaw training step against its backbone alone.

``python tools/benchmarks/jigsaw_step.py CONFIG`` builds the model of a config
of :class:`mmseg_ssl.methods.jigsaw.JigsawFCN` and times, in turn in one
process, forward and backward of the proxy task (puzzle, backbone, pooling,
head, loss) and of the backbone on the same batch, cut to the size of the
puzzle. It prints the median seconds of both and the median of their ratios.

Example::

    OMP_NUM_THREADS=2 python tools/benchmarks/jigsaw_step.py CONFIG --batch 4
    python tools/benchmarks/jigsaw_step.py CONFIG --device cuda --repeats 50
"""
import argparse
import statistics
import time
from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine.environment import keep_freed_memory
from mmseg_ssl.methods.jigsaw import JigsawFCN


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('--batch', type=int, default=16, help='images')
    parser.add_argument('--repeats', type=int, default=11,
                        help='timed steps of each')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    return parser.parse_args()


def seconds(forward: Callable[[], Tensor], model: JigsawFCN) -> float:
    """Time of a forward and a backward pass."""
    model.zero_grad()
    if next(model.parameters()).is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    forward().backward()
    if next(model.parameters()).is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Measure both and print the comparison."""
    args = parse_args()
    keep_freed_memory()  # as in a training
    torch.set_num_threads(args.threads)
    cfg = Config.fromfile(args.config)
    init_default_scope('mmseg')
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model = model.to(args.device, memory_format=torch.channels_last)
    model.train()
    images = torch.randn(args.batch, 3, *cfg.crop_size, device=args.device)
    height, width = (side // model.grid * model.grid
                     for side in cfg.crop_size)
    whole = images[..., :height, :width].contiguous()
    samples = [SegDataSample() for _ in images]

    def step() -> Tensor:
        return model.loss(images, samples)['loss_jigsaw']

    def backbone() -> Tensor:
        return model.last_map(whole).mean()

    seconds(step, model), seconds(backbone, model)  # warm up
    pairs = [(seconds(step, model), seconds(backbone, model))
             for _ in range(args.repeats)]
    ours, alone = (statistics.median(times) for times in zip(*pairs))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f'B={args.batch}, {height}x{width}, grid {model.grid}, on '
          f'{args.device}, torch {torch.__version__}')
    print(f'jigsaw step: {1000 * ours:8.1f} ms')
    print(f'backbone:    {1000 * alone:8.1f} ms')
    print(f'ratio:       {ratio:8.3f}')


if __name__ == '__main__':
    main()
