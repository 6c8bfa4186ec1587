"""Write COCO-Stuff with 27 classes, for the images of the benchmark.

Extract ``train2017.zip`` and ``val2017.zip`` of COCO (cocodataset.org) into
``data/coco_stuff164k/images``, and ``stuffthingmaps_trainval2017.zip``
(github.com/nightrome/cocostuff) into ``data/coco_stuff164k/annotations``::

    python tools/dataset_tools/convert_coco_stuff27.py data/coco_stuff164k

writes ``data/coco_stuff27``: 49,629 images for training and 2,175 for
validation, both of whose sides have at least 360 pixels, and whose pixels are
stuff to at least 75 %. The same images are listed in
``curated/*/Coco164kFull_Stuff_Coarse_7.txt`` of
https://github.com/janghyuncho/PiCIE; with these or other lists::

    python tools/dataset_tools/convert_coco_stuff27.py data/coco_stuff164k \
        --train-list TRAIN.txt --val-list VAL.txt

Images are hard links where the disk is the same. What is there already is
kept, so an interrupted call can be repeated.
"""
import argparse
import sys
from pathlib import Path

from mmseg_ssl.datasets.conversion import convert_coco_stuff27
from mmseg_ssl.datasets.conversion.coco_stuff27 import CURATED_COUNTS
from mmseg_ssl.datasets.conversion.common import all_cores
from mmseg_ssl.engine.environment import positive


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write COCO-Stuff with 27 classes')
    parser.add_argument(
        'source', type=Path, help='folder with images and annotations')
    parser.add_argument(
        'out', type=Path, nargs='?',
        help='folder to write to (coco_stuff27 beside SOURCE)')
    for split in CURATED_COUNTS:
        parser.add_argument(
            f'--{split}-list', type=Path,
            help=f'names of the {split} images (computed)')
    parser.add_argument(
        '--num-procs', type=positive, default=all_cores(),
        help='processes (all cores)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    out = args.out or args.source.with_name('coco_stuff27')
    lists = {split: path for split, path in (
        ('train', args.train_list), ('val', args.val_list)) if path}
    try:
        counts = convert_coco_stuff27(
            args.source, out, lists, args.num_procs)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'convert_coco_stuff27.py: {error}')
    print(f'\n{out}: {counts["written"]} images written, the others were '
          'there')
    for split, expected in CURATED_COUNTS.items():
        note = ('' if split in lists or counts[split] == expected else
                f'; the benchmark has {expected}, so take its list')
        print(f'{split}: {counts[split]} images{note}')


if __name__ == '__main__':
    main()
