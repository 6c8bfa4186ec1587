"""Speed of make_partial_labels.py against a loop of OpenCV's dilations.

Both keep 1 pixel, 1 %, 5 % and 25 % of each class in the same generated label
maps, read from files and written to files. The loop is the plain way to grow
regions: dilate, intersect, count, until enough is covered, in one process.
It starts from the same pixels, and the results are compared. Printed are
label maps per second (the median of the repeats, in turns) and the ratio.

Example::

    python tools/benchmarks/partial_labels.py
    python tools/benchmarks/partial_labels.py --num 20 --num-procs 1
"""
import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from mmseg.datasets import BaseSegDataset

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.base import CheckedSegDataset
from mmseg_ssl.datasets.partial_labels import (
    AMOUNTS,
    PartialLabelsSpec,
    folder_name,
    image_rng,
    write_partial_labels,
)

KERNEL = np.ones((5, 5), np.uint8)
SPEC = PartialLabelsSpec(tuple(AMOUNTS), seeds=(0, ))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--num', type=int, default=100, help='label maps')
    parser.add_argument('--height', type=int, default=512)
    parser.add_argument('--width', type=int, default=1024)
    parser.add_argument('--classes', type=int, default=19)
    parser.add_argument('--num-procs', type=int, default=os.cpu_count())
    parser.add_argument('--repeats', type=int, default=3)
    return parser.parse_args()


def generate(root: Path, args: argparse.Namespace) -> None:
    """Write label maps of smooth regions, with a void border."""
    rng = np.random.default_rng(0)
    for folder in ('images', 'labels'):
        (root / folder).mkdir()
    size = (args.width, args.height)
    for i in range(args.num):
        fields = [cv2.resize(rng.random((8, 16), np.float32), size,
                             interpolation=cv2.INTER_CUBIC)
                  for _ in range(args.classes)]
        mask = np.argmax(fields, axis=0).astype(np.uint8)
        mask[-10:] = IGNORE_INDEX
        cv2.imwrite(str(root / f'labels/{i:04}.png'), mask)
        (root / f'images/{i:04}.jpg').touch()  # is not opened


def ours(root: Path, out: Path, args: argparse.Namespace) -> None:
    """What the tool does."""
    dataset: BaseSegDataset = CheckedSegDataset(
        data_root=str(root), data_prefix=dict(
            img_path='images', seg_map_path='labels'), pipeline=[],
        metainfo=dict(classes=[str(i) for i in range(args.classes)]))
    with contextlib.redirect_stdout(io.StringIO()):
        write_partial_labels(dataset, SPEC, out, 'train', args.num_procs)


def grow(region: np.ndarray, of_class: np.ndarray,
         fraction: float) -> np.ndarray:
    """Dilate a region (H, W) until it covers enough of a class (H, W)."""
    wanted = fraction * cv2.countNonZero(of_class)
    while cv2.countNonZero(region & of_class) < wanted:
        region = cv2.dilate(region, KERNEL)
    return region & of_class


def opencv_loop(root: Path, out: Path, args: argparse.Namespace) -> None:
    """One label map after the other, one class after the other."""
    for amount in AMOUNTS:
        (out / folder_name('train', amount, 0)).mkdir(parents=True)
    for path in sorted((root / 'labels').iterdir()):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for amount, fraction in AMOUNTS.items():
            rng = image_rng(path.stem, 0)
            sparse = np.full_like(mask, IGNORE_INDEX)
            classes = np.unique(mask)
            for label, draw in zip(classes, rng.random(len(classes))):
                if label == IGNORE_INDEX:
                    continue
                of_class = (mask == label).astype(np.uint8)
                pixels = np.flatnonzero(of_class)
                region = np.zeros_like(of_class)
                region.flat[pixels[int(draw * len(pixels))]] = 1
                kept = region if fraction is None else grow(
                    region, of_class, fraction)
                sparse[kept > 0] = label
            cv2.imwrite(str(
                out / folder_name('train', amount, 0) / path.name), sparse)


def check_equal(first: Path, second: Path) -> None:
    """Compare the label maps of two folders pixel by pixel."""
    paths = sorted(second.rglob('*.png'))
    assert len(paths) == len(sorted(first.rglob('*.png'))) > 0
    for path in paths:
        maps = [cv2.imread(str(p), cv2.IMREAD_UNCHANGED)
                for p in (path, first / path.relative_to(second))]
        np.testing.assert_array_equal(*maps, err_msg=str(path))


def main() -> None:
    """Measure both in turns, compare what they wrote, print a table."""
    args = parse_args()
    cv2.setNumThreads(1)
    methods = {f'make_partial_labels, {args.num_procs} processes': ours,
               'OpenCV loop, 1 process': opencv_loop}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        generate(root, args)
        for repeat in range(args.repeats):
            outs = [root / f'{repeat}-{i}' for i in range(len(methods))]
            for (name, run), out in zip(methods.items(), outs):
                begin = time.perf_counter()
                run(root, out, args)
                seconds[name].append(time.perf_counter() - begin)
            check_equal(*outs)
    print(f'{args.num} label maps of {args.height}x{args.width}, '
          f'{args.classes} classes, {len(AMOUNTS)} amounts each, median of '
          f'{args.repeats}')
    median = {name: statistics.median(values)
              for name, values in seconds.items()}
    for name, value in median.items():
        print(f'{name:36}{args.num / value:8.1f} label maps/s')
    fast, slow = median.values()
    print(f'ratio {slow / fast:.1f}')


if __name__ == '__main__':
    main()
