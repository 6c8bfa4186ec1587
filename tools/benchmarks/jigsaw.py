"""Time of shuffle_patches against cutting and pasting tile by tile.

Both make the same puzzles of the same random batch, in turn in one process,
and print the median seconds of a batch and their ratio. At the paper's size
a batch takes 0.15 GB as float32, and each result as much again.

Example::

    OMP_NUM_THREADS=2 python tools/benchmarks/jigsaw.py
    python tools/benchmarks/jigsaw.py --grid 5 --batch 8 --dtype uint8
    python tools/benchmarks/jigsaw.py --device cuda --repeats 50
"""
import argparse
import platform
import time
from collections.abc import Callable

import torch
from torch import Tensor

from mmseg_ssl.engine.environment import keep_freed_memory
from mmseg_ssl.methods.jigsaw import patch_size, shuffle_patches
from mmseg_ssl.methods.jigsaw.puzzle import random_positions


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--batch', type=int, default=36, help='images')
    parser.add_argument('--size', type=int, default=576, help='h = w')
    parser.add_argument('--grid', type=int, default=3)
    parser.add_argument('--dtype', default='float32',
                        choices=['float32', 'float16', 'uint8'])
    parser.add_argument('--repeats', type=int, default=9,
                        help='timed runs of each; the median counts')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    return parser.parse_args()


def paste_tiles(images: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """Shuffle patches by one copy for each."""
    position = random_positions(len(images), grid, images.device)
    height, width = patch_size(images.shape[-2:], grid)
    pasted = images.new_empty(
        (*images.shape[:2], grid * height, grid * width))
    for sample, cells in enumerate(position.tolist()):
        for k, cell in enumerate(cells):
            to_y, to_x = k // grid * height, k % grid * width
            from_y, from_x = cell // grid * height, cell % grid * width
            pasted[sample, :, to_y:to_y + height, to_x:to_x + width] = images[
                sample, :, from_y:from_y + height, from_x:from_x + width]
    return pasted, position


def seconds(shuffle: Callable, images: Tensor, grid: int) -> float:
    """Time of one batch."""
    if images.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    shuffle(images, grid)
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Measure both and print the comparison."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()  # as tools/train.py does
    shape = (args.batch, 3, args.size, args.size)
    images = torch.randint(256, shape, dtype=torch.uint8, device=args.device)
    images = images.to(getattr(torch, args.dtype))
    results = []
    for shuffle in (shuffle_patches, paste_tiles):
        torch.manual_seed(0)  # warms up, too
        results.append(shuffle(images, args.grid))
    assert all(torch.equal(a, b) for a, b in zip(*results))
    del results

    # In turn, so that whatever else the machine does touches both.
    pairs = [(seconds(shuffle_patches, images, args.grid),
              seconds(paste_tiles, images, args.grid))
             for _ in range(args.repeats)]
    ours, tiles = (sorted(times)[args.repeats // 2] for times in zip(*pairs))
    name = (torch.cuda.get_device_name() if images.is_cuda
            else f'{platform.machine()}, {args.threads} threads')
    print(f'B={args.batch} {args.size}x{args.size} {args.dtype}, grid '
          f'{args.grid}, on {name}, torch {torch.__version__}')
    print(f'shuffle_patches: {1000 * ours:8.2f} ms')
    print(f'tile by tile:    {1000 * tiles:8.2f} ms')
    print(f'ratio:           {tiles / ours:8.2f}')


if __name__ == '__main__':
    main()
