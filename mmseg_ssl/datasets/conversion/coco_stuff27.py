"""COCO-Stuff-27: 27 classes, and the images of the benchmark."""
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.conversion.common import (
    convert_all,
    image_size,
    map_ids,
    read_ids,
    read_names,
    require_count,
    require_files,
    require_folders,
    write_whole,
)
from mmseg_ssl.datasets.png import write_label_map

# Images of COCO 2017, and those of them in the benchmark (IIC, PiCIE, FS4).
COUNTS = dict(train=118287, val=5000)
CURATED_COUNTS = dict(train=49629, val=2175)
# What IIC chose these by: images of some size, mostly stuff.
MIN_SIDE = 360
MIN_STUFF = 0.75
FIRST_STUFF = 12

MAPPING = json.loads(
    Path(__file__).with_suffix('.json').read_text(encoding='utf-8'))
NEW_IDS = {IGNORE_INDEX: IGNORE_INDEX} | dict(
    enumerate(MAPPING['fine_to_coarse']))


class Job(NamedTuple):
    """An image, its label map, and where they go."""

    image: Path
    label_map: Path
    out_image: Path
    out_label_map: Path
    choose: bool  # whether the image has to be one of the benchmark


def convert_coco_stuff27(source: Path,
                         out: Path,
                         lists: Mapping[str, Path] | None = None,
                         num_procs: int = 1) -> dict[str, int]:
    """Write label maps of 27 classes for the images of the benchmark.

    They are the images both of whose sides have at least 360 pixels, and
    whose pixels are stuff to at least 75 %, as IIC's code chose them; 49,629
    for training and 2,175 for validation. Or those of given lists. Images
    are hard links to those of the download, or copies of them on another
    disk.

    Args:
        source (Path): Folder with ``images/train2017`` and
            ``images/val2017`` (``train2017.zip``, ``val2017.zip`` of COCO),
            and ``annotations/train2017`` and ``annotations/val2017``
            (``stuffthingmaps_trainval2017.zip`` of COCO-Stuff).
        out (Path): Folder to write ``img_dir`` and ``ann_dir`` to.
        lists (Mapping[str, Path], optional): Names of images, one a line, by
            split, 'train' or 'val'. Defaults to None: chosen as above.
        num_procs (int): Processes. Defaults to 1.

    Returns:
        dict[str, int]: Images in ``out``, by split, and under 'written' how
        many had files to write.

    Raises:
        FileNotFoundError: A folder, list or label map is missing.
        ValueError: There are more or fewer images than there should be, a
            list names another one, or a label map is damaged.
    """
    lists = lists or {}
    require_folders(source, [f'images/{split}2017' for split in COUNTS],
                    'train2017.zip and val2017.zip of COCO')
    require_folders(source, [f'annotations/{split}2017' for split in COUNTS],
                    'stuffthingmaps_trainval2017.zip of COCO-Stuff')
    jobs: list[Job] = []
    for split in COUNTS:
        names = _image_names(source, split)
        if split in lists:
            names = _listed(lists[split], names)
        jobs += [
            Job(source / f'images/{split}2017/{name}.jpg',
                source / f'annotations/{split}2017/{name}.png',
                out / f'img_dir/{split}/{name}.jpg',
                out / f'ann_dir/{split}/{name}.png', split not in lists)
            for name in names]
    require_files([job.label_map for job in jobs], 'label map')
    written = convert_all(_convert, jobs, num_procs)
    return {'written': written} | {
        split: sum(1 for _ in (out / f'ann_dir/{split}').glob('*.png'))
        for split in COUNTS}


def _image_names(source: Path, split: str) -> list[str]:
    folder = source / f'images/{split}2017'
    names = sorted(path.stem for path in folder.glob('*.jpg'))
    require_count(len(names), COUNTS[split], f'images in {folder}')
    return names


def _listed(path: Path, names: list[str]) -> list[str]:
    """Names of a list, sorted, all of which must be there."""
    listed = read_names(path)
    unknown = sorted(set(listed) - set(names))
    if unknown:
        raise ValueError(
            f'the list {path} names {unknown[0]!r}, which is no image of this '
            'split; it should hold one name a line, like 000000000009')
    if not listed:
        raise ValueError(f'the list {path} is empty; it should hold one name '
                         'a line, like 000000000009')
    return sorted(set(listed))


def is_curated(ids: np.ndarray) -> bool:
    """Whether an image belongs to the benchmark.

    Args:
        ids (np.ndarray): Its label map of 27 classes, (H, W).
    """
    stuff = (ids >= FIRST_STUFF) & (ids != IGNORE_INDEX)
    return min(ids.shape) >= MIN_SIDE and stuff.mean() >= MIN_STUFF


def _convert(job: Job) -> bool:
    if job.out_image.exists() and job.out_label_map.exists():
        return False
    if job.choose and min(image_size(job.label_map)) < MIN_SIDE:
        return False  # most of the time goes into reading
    ids = map_ids(read_ids(job.label_map), NEW_IDS, job.label_map)
    if job.choose and not is_curated(ids):
        return False
    _link(job.image, job.out_image)
    write_label_map(job.out_label_map, ids)
    return True


def _link(source: Path, target: Path) -> None:
    """Make a file appear in another place, without its bytes if possible."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        write_whole(target, source.read_bytes())
