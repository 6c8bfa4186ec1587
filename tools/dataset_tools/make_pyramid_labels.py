"""Global labels for FS4: ``python tools/dataset_tools/make_pyramid_labels.py
CONFIG``.

Does what ``pyramid_labels`` of the config says: features of six views of
every training image by a pre-trained network, K-means, selection. Writes
``labels.npz`` into its ``out_dir``. A stage that was ended continues where it
stopped; features of another network or of other images are refused. With
several processes, ``torchrun --nproc_per_node=N`` in front, and
``--launcher pytorch``.
"""
import argparse
import copy
import sys
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist, is_main_process
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine.environment import (
    CfgOptionsAction,
    apply_cfg_options,
)
from mmseg_ssl.methods.fs4 import (
    PyramidLabels,
    build_network,
    make_pyramid_labels,
)
from mmseg_ssl.methods.fs4.pyramid_view import VIEW_NAMES, crop_view
from mmseg_ssl.visualization.panels import Panel, save_panels

PANEL_SIZE = (160, 120)  # width, height
MAX_ROWS = 12
COLUMNS = 6


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Make global labels of image pyramids')
    parser.add_argument('config', help='a config with pyramid_labels')
    parser.add_argument(
        '--picture', type=Path,
        help='PNG to write: a row of views for each of some labels')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptionsAction,
                        metavar='KEY=VALUE')
    parser.add_argument('--launcher', choices=['none', 'pytorch'],
                        default='none')
    return parser.parse_args()


def draw(labels: PyramidLabels, dataset, out: Path) -> None:
    """A row for each of the largest labels, with its surest views."""
    rows = []
    sizes = np.bincount(labels.labels[labels.selected])
    for label in np.argsort(-sizes, kind='stable')[:MAX_ROWS]:
        score = np.where((labels.labels == label) & labels.selected,
                         labels.similarity, -2)
        best = np.argsort(-score, axis=None, kind='stable')[:COLUMNS]
        best = [np.unravel_index(i, score.shape) for i in best
                if score.flat[i] > -2]
        rows.append([
            Panel(read_view(dataset, image, view),
                  f'label {label}: {VIEW_NAMES[view]}')
            for image, view in best])
    save_panels([row for row in rows if row], [''] * COLUMNS, out)


def read_view(dataset, image: int, view: int) -> np.ndarray:
    """A view of an image at the size of a panel."""
    path = dataset.get_data_info(int(image))['img_path']
    pixels = mmcv.imread(path, channel_order='rgb')
    return mmcv.imresize(crop_view(pixels, view), PANEL_SIZE)


def run(args: argparse.Namespace) -> None:
    """Make the labels that a config describes, and the picture."""
    cfg = Config.fromfile(args.config)
    apply_cfg_options(cfg, args.cfg_options)
    if args.launcher != 'none':
        if get_device() == 'cpu':  # mmengine wants a GPU for each process
            torch.distributed.init_process_group('gloo')
        else:
            init_dist(args.launcher)
    init_default_scope('mmseg')
    if 'pyramid_labels' not in cfg:
        raise ValueError(
            f'{args.config} has no pyramid_labels: take a config of '
            'configs/fs4 that uses global guidance')
    options = copy.deepcopy(cfg.pyramid_labels.to_dict())
    dataset = DATASETS.build(options.pop('dataset'))
    network = build_network(options.pop('network'))
    labels = make_pyramid_labels(
        network.to(get_device()), dataset, **options)
    if args.picture is not None and is_main_process():
        draw(labels, dataset, args.picture)


def main() -> None:
    args = parse_args()
    try:
        run(args)
    except (OSError, ValueError) as error:
        sys.exit(f'make_pyramid_labels.py: {error}')


if __name__ == '__main__':
    main()
