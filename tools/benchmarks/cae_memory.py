"""Memory of the context-aware embedding against whole N x N matrices.

The map of an image of 1024x2048 pixels at 1/16 has 8,192 cells, and a matrix
of all pairs of them 268 MB. FS4's module takes rows of it in chunks, which are
computed again in the backward pass; the same module with one chunk, which is
kept, materialises them. Each runs forward and backward in a process of its
own. Printed are the peak memory above what there was before, seconds, and the
sum of the gradients, which has to be the same.

Example::

    python tools/benchmarks/cae_memory.py
    python tools/benchmarks/cae_memory.py --height 256 --width 512
"""
import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from mmengine.device import get_device
from torch import Tensor

from mmseg_ssl.engine.environment import keep_freed_memory
from mmseg_ssl.engine.hooks.process_memory_hook import peak_process_memory
from mmseg_ssl.methods.fs4 import ContextAwareEmbedding
from mmseg_ssl.methods.fs4 import context_aware_embedding as module

METHODS = ('chunks', 'whole matrices')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--height', type=int, default=1024,
                        help='of the image, in pixels')
    parser.add_argument('--width', type=int, default=2048)
    parser.add_argument('--stride', type=int, default=16,
                        help='of the map, in pixels of the image')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--channels', type=int, default=256)
    parser.add_argument('--one', choices=METHODS, help=argparse.SUPPRESS)
    return parser.parse_args()


def peak_memory() -> float:
    """Of the GPU, or else of the process, in MiB."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_process_memory()


class Whole:
    """Stand in for ``InChunks``: all rows at once, kept for the gradients."""

    @staticmethod
    def apply(function: Callable[..., Tensor], num_rows: int,
              *inputs: Tensor) -> Tensor:
        return function(slice(None), *inputs)


def measure(args: argparse.Namespace) -> dict[str, float]:
    """One forward and one backward pass."""
    keep_freed_memory()
    if args.one == 'whole matrices':
        module.InChunks = Whole
    torch.manual_seed(0)
    device = get_device()
    size = [math.ceil(side / args.stride) for side in
            (args.height, args.width)]
    features = torch.randn(args.batch_size, args.channels, *size,
                           device=device, requires_grad=True)
    image = torch.randn(args.batch_size, 3, args.height, args.width,
                        device=device)
    embedding = ContextAwareEmbedding(args.channels).to(device)
    before = peak_memory()
    start = time.perf_counter()
    result = embedding(features, image)
    result.square().sum().backward()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return dict(seconds=time.perf_counter() - start,
                memory=peak_memory() - before, cells=math.prod(size),
                gradients=features.grad.abs().sum().item())


def main() -> None:
    """Measure both, and print a table."""
    args = parse_args()
    if args.one:
        print(json.dumps(measure(args)))
        return
    runs = {}
    for method in METHODS:
        out = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], '--one', method],
            check=True, stdout=subprocess.PIPE, text=True).stdout
        runs[method] = json.loads(out.splitlines()[-1])
    cells = runs['chunks']['cells']
    matrix = args.batch_size * cells**2 * 4 / 2**20
    print(f'{args.batch_size} image(s) of {args.height}x{args.width}, {cells} '
          f'cells of {args.channels} channels; a matrix of all pairs has '
          f'{matrix:.0f} MiB. {get_device()}, {torch.get_num_threads()} '
          f'threads, torch {torch.__version__}')
    print('| | peak MiB above the start | seconds | sum of gradients |\n'
          '|---|---|---|---|')
    for method, run in runs.items():
        print(f'| {method} | {run["memory"]:.0f} | {run["seconds"]:.1f} '
              f'| {run["gradients"]:.6g} |')


if __name__ == '__main__':
    main()
