"""Keep a few labelled pixels of each class in every image, void the rest.

For training at 160x120 and at a shorter side of 112 pixels, as the configs
``*-partial.py`` do::

    python tools/dataset_tools/make_partial_labels.py CamVidDataset \
        data/camvid --size 160x120
    python tools/dataset_tools/make_partial_labels.py MSRC21Dataset \
        data/msrc21 --short-side 112

writes ``data/camvid/partial_labels/train-p1-seed0/NAME.png`` and so on: one
pixel (``p1``), 1 %, 5 % and 25 % (``p1pct``, ``p5pct``, ``p25pct``) of each
class in each image, for three seeds. Train with them by ``--cfg-options
partial_labels=partial_labels/train-p5pct-seed1``.

``--img-dir``, ``--ann-dir`` and ``--ann-file`` name the folders of another
layout and a list of its images; docs/datasets.md has the commands for the
datasets of the papers.

The same label maps and options give the same bytes on every machine. What is
there already is kept, so an interrupted call can be repeated.
"""
import argparse
import os
import sys
from pathlib import Path

from mmseg.registry import DATASETS

import mmseg_ssl  # noqa: F401  (registers the datasets)
from mmseg_ssl.datasets.partial_labels import (
    AMOUNTS,
    PartialLabelsSpec,
    write_partial_labels,
)
from mmseg_ssl.engine.environment import positive


def size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT."""
    try:
        width, height = map(int, text.split('x'))
    except ValueError:
        width = height = 0
    if min(width, height) < 1:
        raise argparse.ArgumentTypeError(
            f'{text!r} should be WIDTHxHEIGHT in pixels, e.g. 160x120')
    return width, height


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Keep a few labelled pixels of each class')
    parser.add_argument('dataset', help='dataset class, e.g. CamVidDataset')
    parser.add_argument('data_root', help='folder with images and label maps')
    parser.add_argument(
        '--out', type=Path,
        help='folder to write to (DATA_ROOT/partial_labels)')
    parser.add_argument('--split', default='train')
    parser.add_argument(
        '--img-dir', help='folder of the images (img_dir/SPLIT)')
    parser.add_argument(
        '--ann-dir', help='folder of the label maps (ann_dir/SPLIT)')
    parser.add_argument(
        '--ann-file', default='',
        help='list of images, below data_root (all of the folder)')
    parser.add_argument(
        '--amounts', nargs='+', choices=list(AMOUNTS), default=list(AMOUNTS),
        metavar='AMOUNT', help=f'some of {", ".join(AMOUNTS)} (all)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    at = parser.add_mutually_exclusive_group()
    at.add_argument(
        '--size', type=size, metavar='WxH',
        help='of the images in training, if not that of the files')
    at.add_argument(
        '--short-side', type=positive, metavar='PIXELS',
        help='of the images in training, where their aspects differ')
    parser.add_argument(
        '--num-procs', type=positive, default=os.cpu_count(),
        help='processes (all cores)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    out = args.out or Path(args.data_root, 'partial_labels')
    spec = PartialLabelsSpec(
        tuple(args.amounts), tuple(args.seeds), args.size, args.short_side)
    try:
        dataset = DATASETS.build(dict(
            type=args.dataset, data_root=args.data_root,
            ann_file=args.ann_file,
            data_prefix=dict(
                img_path=args.img_dir or f'img_dir/{args.split}',
                seg_map_path=args.ann_dir or f'ann_dir/{args.split}')))
        written = write_partial_labels(
            dataset, spec, out, args.split, args.num_procs)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'\nmake_partial_labels.py: {error}')
    except OSError as error:  # a data root is often read-only
        sys.exit(f'make_partial_labels.py: {error}; to write elsewhere than '
                 f'to {out}, use --out')
    total = len(dataset) * len(spec.amounts) * len(spec.seeds)
    print(f'\n{out}: {written} label maps written, {total - written} were '
          'there')


if __name__ == '__main__':
    main()
