"""Choose which images of a dataset are labelled, and write the lists.

The committed lists come from::

    python tools/dataset_tools/make_label_lists.py CamVidDataset \
        data/camvid configs/_base_/splits/camvid \
        --num-labeled 20 50 150 --min-classes 9
    python tools/dataset_tools/make_label_lists.py MSRC21Dataset \
        data/msrc21 configs/_base_/splits/msrc21 \
        --num-labeled 21 63 168 --min-classes 1

Options name the folders of other layouts, a list of the images to choose from,
and a choice at random instead of a balanced one; docs/datasets.md has the
commands for the lists of the papers.

The same images and options give the same bytes on every machine.
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.utils import track_parallel_progress
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS

import mmseg_ssl  # noqa: F401  (registers the datasets)
from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.splits import (
    select_labeled,
    select_random,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Choose the labelled images and write the lists')
    parser.add_argument('dataset', help='dataset class, e.g. CamVidDataset')
    parser.add_argument('data_root', help='folder with images and label maps')
    parser.add_argument('out', type=Path, help='folder of the lists')
    parser.add_argument('--split', default='train')
    parser.add_argument(
        '--img-dir', help='folder of the images (img_dir/SPLIT)')
    parser.add_argument(
        '--ann-dir', help='folder of the label maps (ann_dir/SPLIT)')
    parser.add_argument(
        '--ann-file', default='', help='list of the images to choose from, '
        'below data_root (all of the folder)')
    parser.add_argument('--num-labeled', type=int, nargs='+', required=True)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        '--min-classes', type=int, default=1,
        help='least number of classes in a labelled image')
    choice.add_argument(
        '--at-random', action='store_true',
        help='choose at random instead of such that no class stays rare')
    parser.add_argument(
        '--skip-exhausted', action='store_true',
        help='go on without a class once all images that show it are chosen')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--num-procs', type=int, default=os.cpu_count(),
        help='processes that read the label maps')
    return parser.parse_args()


def distinct_classes(info: dict) -> set[int]:
    """Class ids in the label map of a sample."""
    labels = np.unique(LoadAnnotations()(info)['gt_seg_map'])
    return set(labels.tolist()) - {IGNORE_INDEX}


def scan(dataset: BaseSegDataset, num_procs: int) -> dict[str, set[int]]:
    """Classes in each image, sorted by name of the image.

    Raises:
        ValueError: A label map holds an id that is no class.
    """
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    found = track_parallel_progress(
        distinct_classes, infos, nproc=num_procs, chunksize=8)
    num_classes = len(dataset.metainfo['classes'])
    for info, labels in zip(infos, found, strict=True):
        if labels and max(labels) >= num_classes:
            raise ValueError(
                f'{info["seg_map_path"]} holds the label {max(labels)}; '
                f'{type(dataset).__name__} has the classes 0 to '
                f'{num_classes - 1}')
    folder = dataset.data_prefix['img_path']
    names = [os.path.relpath(info['img_path'], folder) for info in infos]
    stems = [name.removesuffix(dataset.img_suffix).replace(os.sep, '/')
             for name in names]
    return dict(sorted(zip(stems, found, strict=True)))


def least_seen(classes: list[str], chosen: list[set[int]]) -> tuple[int, str]:
    """In how many chosen images the rarest classes are, and their names."""
    counts = [sum(label in labels for labels in chosen)
              for label in range(len(classes))]
    rarest = [name for name, count in zip(classes, counts, strict=True)
              if count == min(counts)]
    return min(counts), ', '.join(rarest)


def heading(dataset: BaseSegDataset, sets: list[set[int]],
            args: argparse.Namespace) -> str:
    """What stands above the table of lists in README.md."""
    source = f'`{args.ann_file}`' if args.ann_file else (
        f'the `{args.split}` split')
    without = (', without those whose images are all chosen'
               if args.skip_exhausted else '')
    able = sum(len(labels) >= args.min_classes for labels in sets)
    how = (
        f'The labelled images are drawn at random from {len(sets)}. The '
        'lists of one seed\n') if args.at_random else (
        f'A labelled image holds at least '
        f'{args.min_classes} of the {len(dataset.metainfo["classes"])} '
        f'classes, as {able} of {len(sets)} images do,\nand at its turn one '
        f'of the classes seen least until then{without}. The lists of one '
        'seed\n')
    return (
        f'# Labelled images of {args.dataset}\n\n'
        f'Written by `tools/dataset_tools/make_label_lists.py` from {source}.'
        f'\n{how}'
        'continue each other: a shorter one is the beginning of a longer '
        'one.\n\n'
        '| list | images with the least-seen class | least-seen class |\n'
        '|---|---|---|\n')


def write_lists(dataset: BaseSegDataset, args: argparse.Namespace) -> None:
    """Write one list per size and seed, and a README.md that sums them up."""
    class_sets = scan(dataset, args.num_procs)
    names, sets = list(class_sets), list(class_sets.values())
    # all of them before the first is written, as each may be impossible
    choices = {
        f'{size}-seed{seed}.txt': (
            select_random(len(sets), size, seed) if args.at_random else
            select_labeled(sets, size, args.min_classes, seed,
                           args.skip_exhausted))
        for size in args.num_labeled for seed in args.seeds}
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, chosen in choices.items():
        (args.out / name).write_text(
            ''.join(f'{names[i]}\n' for i in chosen), newline='\n')
        count, rarest = least_seen(
            dataset.metainfo['classes'], [sets[i] for i in chosen])
        rows.append(f'| `{name}` | {count} | {rarest} |\n')
    (args.out / 'README.md').write_text(
        heading(dataset, sets, args) + ''.join(rows), newline='\n')


def build_dataset(args: argparse.Namespace,
                  **kwargs: Any) -> BaseSegDataset:
    """The dataset to choose from."""
    cfg = dict(
        type=args.dataset,
        data_root=args.data_root,
        ann_file=args.ann_file,
        data_prefix=dict(
            img_path=args.img_dir or f'img_dir/{args.split}',
            seg_map_path=args.ann_dir or f'ann_dir/{args.split}'))
    return DATASETS.build({**cfg, **kwargs})


def images_with_maps(dataset: BaseSegDataset) -> tuple[list[str], int]:
    """Names of the images that have a label map, and how many have none."""
    images, maps = (Path(dataset.data_prefix[key])
                    for key in ('img_path', 'seg_map_path'))
    names = [str(path.relative_to(images)).removesuffix(dataset.img_suffix)
             for path in sorted(images.rglob(f'*{dataset.img_suffix}'))]
    labeled = [name for name in names
               if Path(maps, f'{name}{dataset.seg_map_suffix}').is_file()]
    return labeled, len(names) - len(labeled)


def labeled_part(args: argparse.Namespace) -> BaseSegDataset:
    """The dataset without images that nobody has labelled.

    A list says which images are meant, so there a missing map is an error.
    """
    if args.ann_file:
        return build_dataset(args)
    labeled, num_without = images_with_maps(
        build_dataset(args, lazy_init=True))
    if not labeled or not num_without:
        return build_dataset(args)  # explains what is wrong, if anything is
    print(f'choosing from {len(labeled)} images; {num_without} others have '
          'no label map')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'labeled.txt')
        path.write_text('\n'.join(labeled))
        return build_dataset(args, ann_file=str(path))


def main() -> None:
    args = parse_args()
    try:
        write_lists(labeled_part(args), args)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'make_label_lists.py: {error}')
    print(f'\nWrote the lists and their README.md to {args.out}')


if __name__ == '__main__':
    main()
