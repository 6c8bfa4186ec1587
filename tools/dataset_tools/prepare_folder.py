"""Own images to train on: check them, and write lists and configs.

::

    python tools/dataset_tools/prepare_folder.py IMAGES --masks MASKS \
        --classes names.txt --out data/mine

IMAGES is searched recursively; a mask has the name of its image, and only some
images need one. Masks are PNG files of one channel with the number of a class
in each pixel, 255 where nobody knows; ``names.txt`` has the name of a class
per line. A share of the images with masks is kept for validation. Images are
neither moved nor copied. Without ``--masks``, configs that need none are
written. Ends with the commands to type; docs/my_own_data.md explains them.

The same files and options give the same lists and configs. A second call
writes them again, unless one was changed by hand. Configs that an earlier call
with other options wrote under other names stay.
"""
import argparse
import os
import sys
from pathlib import Path

import torch
from mmengine.device import get_device

import mmseg_ssl  # noqa: F401  (registers the datasets)
from mmseg_ssl.apis.files import writable_folder
from mmseg_ssl.datasets.folder import (
    FolderSpec,
    Request,
    prepare_folder,
    read_classes,
    scan_folder,
    summarize,
)
from mmseg_ssl.engine.environment import positive

ON_CPU, ON_GPU = 120, 320  # pixels of the shorter side
# Options for one of the two uses
WITH_MASKS = ('mask_suffix', 'values', 'val_share', 'iterations')
WITHOUT_MASKS = ('num_clusters', )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Check own images, write lists and configs')
    parser.add_argument('images', type=Path, help='folder of images')
    parser.add_argument(
        '--masks', type=Path, help='folder of the label maps of some of them')
    parser.add_argument(
        '--classes', type=Path, help='file with the name of a class per line, '
        'in the order of their numbers; needed with --masks')
    parser.add_argument(
        '--out', type=Path, help='folder to write to, whose name becomes that '
        'of the dataset (data/own-<name of IMAGES>)')
    parser.add_argument(
        '--mask-suffix', metavar='END', help='what follows the name of an '
        'image in that of its mask, e.g. _mask.png (any suffix of images)')
    parser.add_argument(
        '--values', type=int, nargs='+', metavar='VALUE',
        help='grey value of each class in the masks, e.g. 0 255 (0 1 2 ...)')
    parser.add_argument(
        '--val-share', type=float,
        help='share of the masks to validate on (0.2)')
    parser.add_argument(
        '--short-side', type=positive, metavar='PIXELS',
        help='to which images are resized for training, at most the median '
        f'of theirs ({ON_CPU} without a GPU, {ON_GPU} with one)')
    parser.add_argument(
        '--iterations', type=positive,
        help='of trainings with labels (by their number)')
    parser.add_argument(
        '--num-clusters', type=positive, help='without masks: clusters to '
        'find (the number of --classes, or 10)')
    return parser.parse_args()


def memory_limit() -> float:
    """Four fifths of the memory to train in, in MiB."""
    if get_device() == 'cuda':
        size = torch.cuda.get_device_properties(0).total_memory
    else:
        size = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return 0.8 * size / 2**20


def check_args(args: argparse.Namespace) -> None:
    """Refuse options that would say nothing.

    Raises:
        ValueError: Names them, or the one that is missing.
    """
    if args.masks and not args.classes:
        raise ValueError(
            '--masks needs --classes: a file with the name of a class per '
            'line, in the order of their numbers')
    kind, others = ('without', WITH_MASKS) if args.masks is None else (
        'with', WITHOUT_MASKS)
    given = [f'--{name.replace("_", "-")}' for name in others
             if getattr(args, name) is not None]
    if given:
        raise ValueError(f'{", ".join(given)} says nothing {kind} --masks; '
                         'leave it out')


def prepare(args: argparse.Namespace) -> str:
    """Do everything; returns what to print."""
    check_args(args)
    classes = read_classes(args.classes) if args.classes else ()
    spec = FolderSpec(
        args.images, args.masks, classes, args.mask_suffix,
        tuple(args.values) if args.values else None)
    out = args.out or Path('data', f'own-{args.images.resolve().name}')
    # before time goes into reading images
    writable_folder(out)
    request = Request(
        out=out,
        short_side=args.short_side or (
            ON_CPU if get_device() == 'cpu' else ON_GPU),
        memory_limit=memory_limit(),
        val_share=(Request.val_share if args.val_share is None
                   else args.val_share),
        iterations=args.iterations,
        num_clusters=args.num_clusters or len(classes) or 10)
    scan = scan_folder(spec)
    return summarize(scan, request, prepare_folder(scan, request))


def main() -> None:
    args = parse_args()
    try:
        print('\n' + prepare(args))
    except (OSError, ValueError) as error:
        sys.exit(f'prepare_folder.py: {error}')


if __name__ == '__main__':
    main()
