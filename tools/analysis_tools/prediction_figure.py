"""Predictions of several trainings side by side, as one PNG.

``prediction_figure.py OUT.png --run NAME=WORK_DIR [--run ...]``

A row for each image of the validation set: image, truth, prediction of every
run. ``report.py`` shows the same on a page with curves and numbers.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine.environment import keep_freed_memory, named_run
from mmseg_ssl.visualization.panels import (
    Panel,
    class_swatches,
    label_panel,
    save_panels,
)
from mmseg_ssl.visualization.report import Picture, make_pictures
from mmseg_ssl.visualization.run_log import read_run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Predictions of several trainings side by side')
    parser.add_argument('out', type=Path, help='the PNG to write')
    parser.add_argument(
        '--run', action='append', required=True, type=named_run,
        metavar='NAME=WORK_DIR', help='a training; may be repeated')
    parser.add_argument(
        '--num-images', type=int, default=3,
        help='images, evenly spaced over the validation set (3)')
    parser.add_argument(
        '--predictions-only', action='store_true',
        help='leave out image and truth, which may not be yours to publish')
    return parser.parse_args()


def label_maps(picture: Picture, predictions_only: bool) -> list[Tensor]:
    """The truth, if wanted and known, and the predictions."""
    maps = list(picture.predictions.values())
    if not predictions_only and picture.truth is not None:
        maps.insert(0, picture.truth)
    return [torch.from_numpy(labels) for labels in maps]


def figure_row(picture: Picture, palette: Sequence[Sequence[int]],
               predictions_only: bool) -> list[Panel]:
    """The panels of one image, its name below the first."""
    row = [
        label_panel(labels, palette)
        for labels in label_maps(picture, predictions_only)
    ]
    if not predictions_only:
        row.insert(0, Panel(picture.image))
    row[0].caption = picture.name
    return row


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    try:
        runs = [read_run(name, work_dir) for name, work_dir in args.run]
        pictures, metainfo = make_pictures(runs, args.num_images)
    except FileNotFoundError as error:
        sys.exit(f'prediction_figure.py: {error}')
    only = args.predictions_only
    rows = [figure_row(x, metainfo['palette'], only) for x in pictures]
    titles = list(pictures[0].predictions)
    if not only:
        known = [] if pictures[0].truth is None else ['truth']
        titles = ['image', *known, *titles]
    legend = class_swatches(
        [labels for x in pictures for labels in label_maps(x, only)],
        metainfo['classes'], metainfo['palette'])
    save_panels(rows, titles, args.out, legend)
    print(args.out.resolve())


if __name__ == '__main__':
    main()
