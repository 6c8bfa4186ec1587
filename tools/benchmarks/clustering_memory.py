"""Memory of the clustering stage for few and for many images.

Clusters the pixels of one small picture, which is in the folder under many
names (hard links), as ``OfflineClusteringHook`` does before an epoch: for each
number of images a process of its own, whose peak memory is printed (Linux), as
well as what the dataset, the list of its files, takes in it.

Example::

    python tools/benchmarks/clustering_memory.py --images 1000 100000
"""
import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import MODELS

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.datasets.scenes import paint_scene
from mmseg_ssl.engine import OfflineClusteringHook
from mmseg_ssl.engine.environment import keep_freed_memory
from mmseg_ssl.engine.hooks.process_memory_hook import peak_process_memory

MAX_LINKS = 50_000  # of a file; ext4 allows 65,000


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--images', type=int, nargs='+',
                        default=[1_000, 100_000])
    parser.add_argument('--size', type=int, default=32,
                        help='height and width of the picture, in pixels')
    parser.add_argument('--batch-size', type=int, default=100)
    parser.add_argument('--clusters', type=int, default=27)
    parser.add_argument('--one', type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def link_pictures(folder: Path, num: int, size: int) -> None:
    """Write one picture, and give it many names."""
    image, _ = paint_scene(size, size, np.random.default_rng(0))
    for i in range(num):
        path = folder / f'{i:09d}.jpg'
        if i % MAX_LINKS == 0:
            first = path
            cv2.imwrite(str(first), image[..., ::-1])
        else:
            os.link(first, path)


def measure(args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Cluster the pictures of a folder once."""
    torch.manual_seed(0)
    init_default_scope('mmseg')
    loader = Runner.build_dataloader(dict(
        batch_size=args.batch_size, num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(
            type='UnlabeledDataset', data_prefix=dict(img_path=str(folder)),
            pipeline=[dict(type='LoadImageFromFile'),
                      dict(type='PackSegInputs')])), seed=0)
    model = MODELS.build(dict(
        type='KMeansSegmentor', encoder=dict(type='RawPixels'), channels=3,
        num_clusters=args.clusters, metric='euclidean',
        data_preprocessor=dict(
            type='SegDataPreProcessor', size=(args.size, args.size))))
    model.freeze_snapshot()
    runner = SimpleNamespace(
        epoch=0, logger=logging.getLogger(),
        train_loop=SimpleNamespace(dataloader=loader))
    start = time.perf_counter()
    OfflineClusteringHook()._cluster(model, runner)
    listed = loader.dataset.data_bytes.nbytes / 2**20
    return dict(images=len(loader.dataset), peak=peak_process_memory(),
                listed=listed, seconds=time.perf_counter() - start)


def main() -> None:
    """Measure all numbers of images, and print a table."""
    args = parse_args()
    if args.one is not None:
        keep_freed_memory()
        with tempfile.TemporaryDirectory() as folder:
            link_pictures(Path(folder), args.one, args.size)
            print(json.dumps(measure(args, Path(folder))))
        return
    print('| images | peak MiB | of which list of files | seconds |\n'
          '|---|---|---|---|')
    for num in args.images:
        out = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], '--one', str(num)],
            check=True, stdout=subprocess.PIPE, text=True).stdout
        run = json.loads(out.splitlines()[-1])
        print(f'| {run["images"]} | {run["peak"]:.0f} | {run["listed"]:.1f} '
              f'| {run["seconds"]:.1f} |')


if __name__ == '__main__':
    main()
