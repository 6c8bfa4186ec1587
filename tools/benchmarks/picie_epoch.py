"""One epoch of PiCIE: ours against the algorithm of the released code.

Ours: one pass clusters both views; a training step labels its pixels by the
frozen snapshot. The released algorithm: for each view a pass that clusters and
a pass that labels, with a label file per image and view, then training, which
reads them and replays the augmentations; K-means starts with Lloyd's algorithm
on all pixels of the first batches, where ours draws some of them. Both have
the same network, images, augmentation and loss, and the same code of K-means,
so what differs is the passes, the files and the start. ``--same-start`` leaves
the start to ours, too.

``--max-batches`` adds a row: ours that clusters so many batches, and trains on
all. ``--cfg-options model.snapshot_dtype=bfloat16`` and
``optim_wrapper.type=BFloat16OptimWrapper`` are for ours; the released
algorithm clusters all images and computes in float32, as its code does.

Each runs in a process of its own; the order is changed between repeats.
Prints the seconds of clustering (and labelling) and of training, the ratio of
their sums, bytes of label files and the peak memory of the process.

Example::

    python tools/benchmarks/picie_epoch.py CONFIG --images 200
    python tools/benchmarks/picie_epoch.py CONFIG --cfg-options data_root=DIR
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner
from torch import Tensor, nn

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.clustering import StreamedKMeans
from mmseg_ssl.datasets.scenes import paint_scene
from mmseg_ssl.engine import OfflineClusteringHook
from mmseg_ssl.engine.environment import (
    CfgOptionsAction,
    apply_cfg_options,
    keep_freed_memory,
    revert_sync_bn,
)
from mmseg_ssl.engine.hooks.process_memory_hook import peak_process_memory

METHODS = ('ours', 'sampled', 'released')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('config', help='of a PiCIE')
    parser.add_argument('--images', type=int,
                        help='paint so many images instead of reading '
                        "the config's (JPEG)")
    parser.add_argument('--image-size', type=int, nargs=2, default=(213, 320),
                        metavar=('HEIGHT', 'WIDTH'), help='of painted images')
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--max-batches', type=int,
                        help='also measure ours with so many clustered')
    parser.add_argument('--same-start', action='store_true',
                        help='the released algorithm starts K-means as ours')
    parser.add_argument('--workers', type=int, default=0,
                        help='processes that load images')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptionsAction,
                        metavar='KEY=VALUE')
    parser.add_argument('--one', choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument('--folder', help=argparse.SUPPRESS)
    return parser.parse_args()


def paint(folder: Path, num: int, height: int, width: int) -> None:
    """Write images, one after the other."""
    for i in range(num):
        image, _ = paint_scene(height, width, np.random.default_rng(i))
        cv2.imwrite(str(folder / f'{i:07d}.jpg'), image[..., ::-1])


def build(args: argparse.Namespace, folder: Path) -> Runner:
    """A runner with model, optimiser and data of the config."""
    cfg = Config.fromfile(args.config)
    apply_cfg_options(cfg, args.cfg_options)
    if args.one == 'released':
        cfg.model.snapshot_dtype = None
    cfg.train_dataloader.update(num_workers=args.workers,
                                persistent_workers=args.workers > 0)
    if args.images:
        cfg.train_dataloader.dataset.update(
            data_root='', data_prefix=dict(img_path=args.folder))
    cfg.update(work_dir=str(folder), custom_hooks=[], log_level='WARNING',
               val_cfg=None, val_dataloader=None, val_evaluator=None,
               test_cfg=None, test_dataloader=None, test_evaluator=None)
    revert_sync_bn(cfg)
    runner = Runner.from_cfg(cfg)
    runner._init_model_weights()
    if get_device() == 'cpu':
        runner.model.to(memory_format=torch.channels_last)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    # only the first epoch of a network from scratch needs that
    OfflineClusteringHook().settle_norms(runner)
    return runner


def timed(function: Callable[[], None]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def ours(runner: Runner, folder: Path, args: argparse.Namespace,
         max_batches: int | None = None) -> tuple[float, float]:
    """Seconds of clustering and of training."""
    model = runner.model

    def train() -> None:
        model.train()
        for batch in runner.train_loop.dataloader:
            model.train_step(batch, runner.optim_wrapper)

    hook = OfflineClusteringHook(max_batches=max_batches, draw=False)
    return timed(lambda: hook.before_train_epoch(runner)), timed(train)


def sampled(runner: Runner, folder: Path,
            args: argparse.Namespace) -> tuple[float, float]:
    """The same, with some of the images clustered."""
    return ours(runner, folder, args, args.max_batches)


class Released:
    """The passes of the released code, with the parts of this package."""

    def __init__(self, runner: Runner, folder: Path,
                 start: dict[str, int]) -> None:
        """Take the options of the K-means' start."""
        self.runner = runner
        self.start = start
        self.model = runner.model
        self.folder = folder
        self.seed = 0

    def batches(self) -> Iterator[tuple[dict, list[Path]]]:
        """Batches on the device, whose augmentations are always the same."""
        for i, batch in enumerate(self.runner.train_loop.dataloader):
            data = self.model.data_preprocessor(batch, training=True)
            self.seed = i
            names = [Path(sample.img_path).stem
                     for sample in data['data_samples']]
            yield data, [self.folder / name for name in names]

    def features(self, network: nn.Module, view: int,
                 inputs: Tensor) -> Tensor:
        """Features of one view; its augmentations are replayed."""
        model = self.model
        torch.manual_seed(2 * self.seed)
        geometry = model.geometry(len(inputs), inputs.device)
        torch.manual_seed(2 * self.seed + view)
        images = model.photometry(inputs)
        if view == 0:
            return network(geometry.apply(images, model.view_size))
        features = network(model.shrink(images))
        return geometry.apply(features, features.shape[2:])

    @torch.no_grad()
    def cluster_and_label(self) -> None:
        """Two passes for each view."""
        self.model.freeze_snapshot()
        for view, kmeans in enumerate(self.model.kmeans[0]):
            stream = StreamedKMeans(kmeans, **self.start)
            for data, _ in self.batches():
                x = self.features(self.model.snapshot, view, data['inputs'])
                stream.update(x.permute(0, 2, 3, 1).flatten(0, 2))
            stream.finish()
            for data, paths in self.batches():
                x = self.features(self.model.snapshot, view, data['inputs'])
                labels = self.model.label(x, view)
                for label, path in zip(labels.byte().cpu().numpy(), paths):
                    np.save(f'{path}_{view}.npy', label)

    def train(self) -> None:
        """One pass, with labels from the files."""
        model = self.model.train()
        for data, paths in self.batches():
            features = [self.features(model.encoder, view, data['inputs'])
                        for view in range(2)]
            labels = [
                torch.from_numpy(np.stack([
                    np.load(f'{path}_{view}.npy') for path in paths
                ])).long().to(features[0].device) for view in range(2)]
            loss = sum(model.losses_of_labels(features, labels, head=0))
            self.runner.optim_wrapper.update_params(loss)


def released(runner: Runner, folder: Path,
             args: argparse.Namespace) -> tuple[float, float]:
    """Seconds of clustering and labelling, and of training."""
    start = {} if args.same_start else dict(init_size=sys.maxsize)
    passes = Released(runner, folder, start)
    return timed(passes.cluster_and_label), timed(passes.train)


def measure(args: argparse.Namespace) -> dict[str, float]:
    """One epoch."""
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        labels = Path(folder) / 'labels'
        labels.mkdir()
        runner = build(args, Path(folder))
        cluster, train = globals()[args.one](runner, labels, args)
        files = sum(path.stat().st_size for path in labels.iterdir())
    memory = (torch.cuda.max_memory_allocated() / 2**20
              if torch.cuda.is_available() else peak_process_memory())
    return dict(cluster=cluster, train=train, files=files, memory=memory,
                images=len(runner.train_loop.dataloader.dataset))


def main() -> None:
    """Measure both in turns, and print a table."""
    args = parse_args()
    if args.one:
        print(json.dumps(measure(args)))
        return
    methods = [method for method in METHODS
               if method != 'sampled' or args.max_batches]
    runs: dict[str, list[dict]] = {method: [] for method in methods}
    with tempfile.TemporaryDirectory() as folder:
        if args.images:
            paint(Path(folder), args.images, *args.image_size)
        for repeat in range(args.repeats):
            for method in methods if repeat % 2 == 0 else methods[::-1]:
                out = subprocess.run(
                    [sys.executable, __file__, *sys.argv[1:], '--one', method,
                     '--folder', folder],
                    check=True, stdout=subprocess.PIPE, text=True).stdout
                run = json.loads(out.splitlines()[-1])
                runs[method].append(run)
                print(f'{method}: {run["cluster"]:.1f} + {run["train"]:.1f} s',
                      file=sys.stderr, flush=True)
    print(f'{runs["ours"][0]["images"]} images, {get_device()}, '
          f'{torch.get_num_threads()} threads, torch {torch.__version__}, '
          f'median of {args.repeats}')
    print('| | clustering s | training s | epoch s | ratio | label files, '
          'bytes | peak MiB |\n|---|---|---|---|---|---|---|')
    median = {
        method: {key: statistics.median(run[key] for run in measured)
                 for key in measured[0]}
        for method, measured in runs.items()}
    whole = {method: statistics.median(
        run['cluster'] + run['train'] for run in measured)
        for method, measured in runs.items()}
    for method, m in median.items():
        print(f'| {method} | {m["cluster"]:.1f} | {m["train"]:.1f} '
              f'| {whole[method]:.1f} '
              f'| {whole[method] / whole["released"]:.2f} '
              f'| {m["files"]:.0f} | {m["memory"]:.0f} |')


if __name__ == '__main__':
    main()
