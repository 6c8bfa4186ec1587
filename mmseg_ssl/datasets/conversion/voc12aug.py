"""PASCAL VOC 2012 and SBD as one training set of 10,582 images."""
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import loadmat

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
)
from mmseg_ssl.datasets.png import write_label_map

COUNTS = dict(train=1464, val=1449, sbd=11355, trainaug=10582)
SAME_IDS = {i: i for i in (*range(21), IGNORE_INDEX)}
LISTS = 'ImageSets/Segmentation'
OUT = 'SegmentationClassAug'


class Job(NamedTuple):
    """A label map to write."""

    source: Path  # PNG of VOC, or MAT of SBD
    image: Path
    target: Path


class Names(NamedTuple):
    """Names of images, sorted."""

    train: list[str]  # of VOC
    val: list[str]  # of VOC
    aug: list[str]  # of SBD, neither in train nor in val

    @property
    def trainaug(self) -> list[str]:
        """All training images."""
        return sorted({*self.train, *self.aug})


def convert_voc12aug(voc: Path, sbd: Path, num_procs: int = 1) -> int:
    """Write ``SegmentationClassAug`` and the lists of its images.

    Into the folder of VOC go label maps of all training images, with VOC's
    own labels where there are any, and below ``ImageSets/Segmentation`` the
    lists ``trainaug.txt`` (all of them) and ``aug.txt`` (those of SBD alone).

    Args:
        voc (Path): Folder ``VOCdevkit/VOC2012`` of
            ``VOCtrainval_11-May-2012.tar``.
        sbd (Path): Folder ``benchmark_RELEASE/dataset`` of ``benchmark.tgz``.
        num_procs (int): Processes. Defaults to 1.

    Returns:
        int: How many label maps were written.

    Raises:
        FileNotFoundError: A folder, list, image or label map is missing.
        ValueError: There are more or fewer of them than there should be, or a
            label map is damaged.
    """
    require_folders(voc, ('JPEGImages', 'SegmentationClass', LISTS),
                    'VOCdevkit/VOC2012 of VOCtrainval_11-May-2012.tar')
    require_folders(sbd, ('cls', ), 'benchmark_RELEASE/dataset of '
                    'benchmark.tgz (SBD)')
    names = _read_all_names(voc, sbd)
    jobs = [
        *(Job(voc / f'SegmentationClass/{name}.png',
              voc / f'JPEGImages/{name}.jpg', voc / OUT / f'{name}.png')
          for name in names.train),
        *(Job(sbd / f'cls/{name}.mat', voc / f'JPEGImages/{name}.jpg',
              voc / OUT / f'{name}.png') for name in names.aug),
    ]
    require_files([job.image for job in jobs] + [
        voc / f'JPEGImages/{name}.jpg' for name in names.val], 'image')
    require_files([job.source for job in jobs] + [
        voc / f'SegmentationClass/{name}.png' for name in names.val],
        'label map')
    written = convert_all(_convert, jobs, num_procs)
    for split in ('trainaug', 'aug'):
        (voc / LISTS / f'{split}.txt').write_text(
            ''.join(f'{name}\n' for name in getattr(names, split)),
            newline='\n')
    return written


def _read_all_names(voc: Path, sbd: Path) -> Names:
    train, val = (set(read_names(voc / LISTS / f'{split}.txt'))
                  for split in ('train', 'val'))
    sbd_names = {name for split in ('train', 'val')
                 for name in read_names(sbd / f'{split}.txt')}
    names = Names(sorted(train), sorted(val),
                  sorted(sbd_names - train - val))
    for found, key, what in (
            (train, 'train', f'names in {voc / LISTS / "train.txt"}'),
            (val, 'val', f'names in {voc / LISTS / "val.txt"}'),
            (sbd_names, 'sbd', f'names in train.txt and val.txt of {sbd}'),
            (names.trainaug, 'trainaug', 'training images in all')):
        require_count(len(found), COUNTS[key], what)
    return names


def _convert(job: Job) -> bool:
    if job.target.exists():
        return False
    if job.source.suffix == '.mat':
        ids = _read_mat(job.source)
    else:
        ids = read_ids(job.source)
    width, height = image_size(job.image)
    if ids.shape != (height, width):
        raise ValueError(
            f'label map {job.source} is {ids.shape[1]}x{ids.shape[0]}, but '
            f'{job.image} is {width}x{height} (width x height)')
    write_label_map(job.target, map_ids(ids, SAME_IDS, job.source))
    return True


def _read_mat(path: Path) -> np.ndarray:
    """Ids of a label map of SBD, shape (H, W)."""
    try:
        content = loadmat(path, squeeze_me=True, struct_as_record=False)
        return content['GTcls'].Segmentation
    except (AttributeError, KeyError, ValueError, NotImplementedError,
            OSError) as error:
        raise ValueError(
            f'{path} is no label map of SBD (a MAT file with '
            f'GTcls.Segmentation): {error}') from error
