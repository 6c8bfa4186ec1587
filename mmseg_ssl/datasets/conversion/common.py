"""What every converter does: look, count, convert, resume."""
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.utils import track_parallel_progress, track_progress
from PIL import Image


def require_folders(root: Path, names: Iterable[str], download: str) -> None:
    """Check that a download was extracted where the converter looks.

    Raises:
        FileNotFoundError: A folder is missing; names it and the download.
    """
    for name in names:
        if not (root / name).is_dir():
            raise FileNotFoundError(
                f'there is no folder {root / name}; {root} should hold what '
                f'{download} contains')


def require_files(paths: Sequence[Path], what: str) -> None:
    """Check that files exist.

    Raises:
        FileNotFoundError: Names the first that is missing, and how many are.
    """
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f'{what} {missing[0]} does not exist ({len(missing)} of '
            f'{len(paths)} are missing); extract the download again')


def require_count(found: int, expected: int, what: str) -> None:
    """Compare a number of files or names with that of the dataset.

    Raises:
        ValueError: They differ.
    """
    if found != expected:
        raise ValueError(
            f'found {found} {what}, there should be {expected}; is the '
            'download complete?')


def read_names(path: Path) -> list[str]:
    """Names of a list, one a line.

    Raises:
        FileNotFoundError: There is no such list.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'the list {path} does not exist; extract the download again')
    return path.read_text().split()


def read_ids(path: Path) -> np.ndarray:
    """Ids of a label map as they stand in the file, shape (H, W).

    Raises:
        ValueError: The file is damaged, or no image of one channel.
    """
    try:
        ids = mmcv.imread(path, flag='unchanged', backend='pillow')
    except OSError as error:
        raise ValueError(
            f'label map {path} cannot be read: {error}') from error
    if ids.ndim != 2:
        raise ValueError(f'label map {path} has {ids.shape[-1]} channels; it '
                         'should have one, holding class ids')
    return ids


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image.

    Raises:
        ValueError: The file is no image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise ValueError(f'image {path} cannot be read: {error}') from error


def map_ids(ids: np.ndarray, new_ids: dict[int, int],
            path: Path) -> np.ndarray:
    """Replace the ids of a label map.

    Args:
        ids (np.ndarray): (H, W), of an integer type.
        new_ids (dict[int, int]): New id of each that may be there.
        path (Path): Of the label map, for the message.

    Returns:
        np.ndarray: (H, W), uint8.

    Raises:
        ValueError: There is another id.
    """
    found, places = np.unique(ids, return_inverse=True)
    wrong = [i for i in found.tolist() if i not in new_ids]
    if wrong:
        raise ValueError(f'label map {path} holds {wrong}; allowed are '
                         f'{sorted(new_ids)}')
    table = np.array([new_ids[i] for i in found.tolist()], np.uint8)
    return table[places].reshape(ids.shape)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, for readers and resumption."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.part')
    partial.write_bytes(content)
    partial.replace(path)


def convert_all(convert: Callable[[Any], bool], jobs: Sequence[Any],
                num_procs: int) -> int:
    """Call ``convert`` on each job, on several processes, with a bar.

    Args:
        convert (Callable): Returns whether there was anything to write.
        jobs (Sequence): Its arguments.
        num_procs (int): Processes.

    Returns:
        int: Number of jobs with something to write.
    """
    if num_procs == 1:
        return sum(track_progress(convert, jobs, file=sys.stdout))
    return sum(track_parallel_progress(
        convert, jobs, nproc=num_procs, chunksize=8, file=sys.stdout))


def all_cores() -> int:
    """Processes by default."""
    return os.cpu_count() or 1
