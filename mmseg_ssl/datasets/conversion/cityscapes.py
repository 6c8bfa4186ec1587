"""Cityscapes at another size, with ids of 19 or of 27 classes."""
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import mmcv

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.conversion.common import (
    convert_all,
    image_size,
    map_ids,
    read_ids,
    require_count,
    require_files,
    require_folders,
    write_whole,
)
from mmseg_ssl.datasets.png import write_label_map

COUNTS = dict(train=2975, val=500)
IMAGE, IDS = '_leftImg8bit.png', '_gtFine_labelIds.png'


class LabelSet(NamedTuple):
    """Classes that are kept."""

    suffix: str
    """Of the label maps."""
    class_ids: tuple[int, ...]
    """Which of the label ids 0 to 33, in their order; the others are void."""

    @property
    def new_ids(self) -> dict[int, int]:
        """New id of each label id."""
        return dict.fromkeys(range(34), IGNORE_INDEX) | {
            old: new for new, old in enumerate(self.class_ids)}


# By the number of classes; those of the usual benchmark, and all but void
# (PiCIE, FS4).
LABEL_SETS = {
    19: LabelSet('_gtFine_labelTrainIds.png',
                 (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27,
                  28, 31, 32, 33)),
    27: LabelSet('_gtFine_label27Ids.png', tuple(range(7, 34))),
}


class Job(NamedTuple):
    """An image and its label map, as ``SPLIT/CITY/NAME`` below two roots."""

    source: Path
    out: Path
    name: str

    def image(self, root: Path) -> Path:
        """Image file below a root."""
        return root / f'leftImg8bit/{self.name}{IMAGE}'

    def label_map(self, root: Path, suffix: str) -> Path:
        """Label file below a root."""
        return root / f'gtFine/{self.name}{suffix}'


def convert_cityscapes(source: Path, out: Path, size: tuple[int, int],
                       num_procs: int = 1, num_classes: int = 19) -> int:
    """Write images at ``size``, and label maps of train ids.

    The layout stays that of the download. With ``out=source`` and the size
    of the download, 2048x1024, its images stay as they are and label maps of
    train ids join those of label ids. Label maps of 19 and of 27 classes may
    stand in one folder.

    Args:
        source (Path): Folder with ``leftImg8bit`` and ``gtFine`` of
            ``leftImg8bit_trainvaltest.zip`` and ``gtFine_trainvaltest.zip``.
        out (Path): Folder to write to.
        size (tuple[int, int]): Width and height, in pixels.
        num_procs (int): Processes. Defaults to 1.
        num_classes (int): 19, train ids, or 27, all classes but void.
            Defaults to 19.

    Returns:
        int: How many images had files to write.

    Raises:
        FileNotFoundError: A folder or a label map is missing.
        ValueError: There are more or fewer images than there should be, a
            file is damaged, or ``out`` holds another size.
    """
    require_folders(source, ('leftImg8bit/train', 'leftImg8bit/val'),
                    'leftImg8bit_trainvaltest.zip')
    require_folders(source, ('gtFine/train', 'gtFine/val'),
                    'gtFine_trainvaltest.zip')
    jobs: list[Job] = []
    for split, expected in COUNTS.items():
        folder = source / 'leftImg8bit'
        names = sorted(
            path.relative_to(folder).as_posix().removesuffix(IMAGE)
            for path in (folder / split).glob(f'*/*{IMAGE}'))
        require_count(len(names), expected,
                      f'images in {folder / split}/*/')
        jobs += [Job(source, out, name) for name in names]
    require_files([job.label_map(source, IDS) for job in jobs], 'label map')
    return convert_all(
        partial(_convert, size=size, label_set=LABEL_SETS[num_classes]), jobs,
        num_procs)


def _convert(job: Job, size: tuple[int, int], label_set: LabelSet) -> bool:
    image_path = job.image(job.out)
    labels_path = job.label_map(job.out, label_set.suffix)
    if image_path.exists():
        _check_size(image_path, size)
        if labels_path.exists():
            return False
    else:
        _write_image(job.image(job.source), image_path, size)
    path = job.label_map(job.source, IDS)
    labels = map_ids(read_ids(path), label_set.new_ids, path)
    write_label_map(
        labels_path, mmcv.imresize(labels, size, interpolation='nearest'))
    return True


def _write_image(source: Path, target: Path, size: tuple[int, int]) -> None:
    image = mmcv.imread(source)
    if image is None:
        raise ValueError(f'image {source} cannot be read')
    # Each pixel is the mean of those it stands for.
    image = mmcv.imresize(image, size, interpolation='area')
    write_whole(target, cv2.imencode('.png', image)[1].tobytes())


def _check_size(path: Path, size: tuple[int, int]) -> None:
    found = image_size(path)
    if found != size:
        raise ValueError(
            f'{path} is there with {found[0]}x{found[1]} pixels, not '
            f'{size[0]}x{size[1]}; write to another folder')
