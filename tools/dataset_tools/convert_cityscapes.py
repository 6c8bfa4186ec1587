"""Shrink the images of Cityscapes and write label maps of train ids.

Extract ``leftImg8bit_trainvaltest.zip`` and ``gtFine_trainvaltest.zip``
(cityscapes-dataset.com) into ``data/cityscapes``::

    python tools/dataset_tools/convert_cityscapes.py data/cityscapes

writes ``data/cityscapes_512x1024``, which ReCo trains on. Configs at full
size need the train ids alone, beside the other label maps::

    python tools/dataset_tools/convert_cityscapes.py data/cityscapes \
        data/cityscapes --size 2048x1024

PiCIE and FS4 are evaluated on 27 classes, all but void::

    python tools/dataset_tools/convert_cityscapes.py data/cityscapes \
        --classes 27 --size 1280x640

What is there already is kept, so an interrupted call can be repeated.
"""
import argparse
import sys
from pathlib import Path

from mmseg_ssl.datasets.conversion import convert_cityscapes
from mmseg_ssl.datasets.conversion.cityscapes import LABEL_SETS
from mmseg_ssl.datasets.conversion.common import all_cores
from mmseg_ssl.engine.environment import positive


def size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT."""
    try:
        width, height = map(int, text.split('x'))
    except ValueError:
        width = height = 0
    if min(width, height) < 1:
        raise argparse.ArgumentTypeError(
            f'{text!r} should be WIDTHxHEIGHT in pixels, e.g. 1024x512')
    return width, height


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Resize Cityscapes')
    parser.add_argument(
        'source', type=Path, help='folder with leftImg8bit and gtFine')
    parser.add_argument(
        'out', type=Path, nargs='?', help='folder to write to '
        '(SOURCE_HEIGHTxWIDTH)')
    parser.add_argument(
        '--size', type=size, default=(1024, 512), metavar='WxH',
        help='of the images (1024x512)')
    parser.add_argument(
        '--classes', type=int, choices=sorted(LABEL_SETS), default=19,
        help='of the label maps (19)')
    parser.add_argument(
        '--num-procs', type=positive, default=all_cores(),
        help='processes (all cores)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    width, height = args.size
    out = args.out or args.source.with_name(
        f'{args.source.name}_{height}x{width}')
    try:
        written = convert_cityscapes(
            args.source, out, args.size, args.num_procs, args.classes)
    except (OSError, ValueError) as error:
        sys.exit(f'convert_cityscapes.py: {error}')
    print(f'\n{out}: {written} images written, the others were there')


if __name__ == '__main__':
    main()
