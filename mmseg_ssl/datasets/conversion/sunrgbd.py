"""SUN RGB-D, 37 classes, in the split of ReCo."""
import re
from pathlib import Path
from typing import NamedTuple

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.conversion.common import (
    convert_all,
    map_ids,
    read_ids,
    read_names,
    require_count,
    require_files,
    require_folders,
    write_whole,
)
from mmseg_ssl.datasets.png import write_label_map

# Numbers of images: of the official splits, and of those moved back to
# validation by the list.
COUNTS = dict(train=5285, test=5050, val=475)
VAL_LIST = 'test_idx.txt'
IMAGES = dict(train='SUNRGBD-train_images', test='SUNRGBD-test_images')
LABELS = 'sunrgbd_train_test_labels'
# 0 is void in the file.
NEW_IDS = {0: IGNORE_INDEX} | {i: i - 1 for i in range(1, 38)}


class Job(NamedTuple):
    """An image and its label map."""

    image: Path
    label_map: Path
    out: Path
    split: str  # 'train' or 'val', where it goes

    @property
    def targets(self) -> tuple[Path, Path]:
        """Where image and label map go; the number is that of the label."""
        stem = self.label_map.stem
        return (self.out / f'img_dir/{self.split}/{stem}.jpg',
                self.out / f'ann_dir/{self.split}/{stem}.png')


def convert_sunrgbd(source: Path, out: Path, num_procs: int = 1) -> int:
    """Sort images and label maps into 9,860 training and 475 validation ones.

    ReCo (Appendix A) trains on the official training images and on those test
    images that are not among the 475 of its validation list.

    Args:
        source (Path): Folder with the extracted
            ``SUNRGBD-train_images.tgz``, ``SUNRGBD-test_images.tgz`` and
            ``sunrgbd_train_test_labels.tar.gz``, and ``test_idx.txt``, the
            numbers of the test images to validate on.
        out (Path): Folder to write ``img_dir`` and ``ann_dir`` to.
        num_procs (int): Processes. Defaults to 1.

    Returns:
        int: How many images had files to write.

    Raises:
        FileNotFoundError: A folder, list, image or label map is missing.
        ValueError: There are more or fewer of them than there should be, or a
            label map is damaged.
    """
    require_folders(source, (*IMAGES.values(), LABELS),
                    'SUNRGBD-train_images.tgz, SUNRGBD-test_images.tgz and '
                    'sunrgbd_train_test_labels.tar.gz')
    val = _read_val_numbers(source / VAL_LIST)
    jobs = []
    for official, folder in IMAGES.items():
        # The label maps of the test images come first.
        shift = 0 if official == 'test' else COUNTS['test']
        numbers = _image_numbers(source / folder)
        require_count(len(numbers), COUNTS[official],
                      f'images img-NUMBER.jpg in {source / folder}')
        jobs += [
            Job(path, source / LABELS / f'img-{number + shift:06d}.png', out,
                'val' if official == 'test' and number in val else 'train')
            for number, path in sorted(numbers.items())]
    require_files([job.label_map for job in jobs], 'label map')
    require_count(sum(job.split == 'val' for job in jobs), COUNTS['val'],
                  f'test images that {source / VAL_LIST} names')
    return convert_all(_convert, jobs, num_procs)


def _read_val_numbers(path: Path) -> set[int]:
    if not path.is_file():
        raise FileNotFoundError(
            f'the list {path} does not exist; it is dataset/sun/{VAL_LIST} of '
            'https://github.com/lorenmt/reco, the numbers of the test images '
            'that ReCo validates on, one a line')
    words = read_names(path)
    not_numbers = [word for word in words if not word.isdecimal()]
    if not_numbers:
        raise ValueError(f'the list {path} holds {not_numbers[0]!r}; it '
                         'should hold one number a line')
    numbers = set(map(int, words))
    require_count(len(numbers), COUNTS['val'], f'numbers in {path}')
    return numbers


def _image_numbers(folder: Path) -> dict[int, Path]:
    """Images of a folder by the number in their name."""
    found = ((re.fullmatch(r'img-(\d+)\.jpg', path.name), path)
             for path in folder.iterdir())
    return {int(match[1]): path for match, path in found if match}


def _convert(job: Job) -> bool:
    image, label_map = job.targets
    if image.exists() and label_map.exists():
        return False
    ids = map_ids(read_ids(job.label_map), NEW_IDS, job.label_map)
    write_whole(image, job.image.read_bytes())
    write_label_map(label_map, ids)
    return True
