"""Find samples that would spoil a training run before the run starts."""
import hashlib
import io
import os
from itertools import chain
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import mmcv
import mmengine.dist as dist
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import LoadAnnotations
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.utils import ProgressBar
from mmseg.datasets.transforms import LoadAnnotations as LoadSegAnnotations
from PIL import Image, UnidentifiedImageError

# Part of the cache key: raise it whenever the checks become stricter.
CHECK_VERSION = 1
MAX_REPORTED = 10
EXIF_ORIENTATION = 0x0112


def default_cache_dir() -> Path:
    """Folder that remembers which sets of files have passed the scan."""
    base = os.getenv('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'mmseg_ssl'


def leaf_datasets(dataset: Any) -> list[BaseDataset]:
    """Datasets that own files, inside any nesting of wrappers.

    Walks through the attributes under which the wrappers of mmengine, mmseg,
    torch and this package keep what they wrap.
    """
    children = [
        getattr(dataset, name) for name in ('labeled', 'unlabeled', 'dataset')
        if hasattr(dataset, name)
    ]
    children.extend(getattr(dataset, 'datasets', ()))
    if not children:
        return [dataset] if isinstance(dataset, BaseDataset) else []
    leaves = chain.from_iterable(map(leaf_datasets, children))
    return list({id(leaf): leaf for leaf in leaves}.values())


def annotation_loader(dataset: BaseDataset) -> LoadAnnotations | None:
    """The transform of the dataset's pipeline that loads the label map."""
    for transform in dataset.pipeline.transforms:
        if isinstance(transform, LoadAnnotations):
            return transform
    return None


def num_file_ids(dataset: BaseDataset) -> int:
    """How many class ids, from 0 on, the label files of a dataset may hold.

    Counts ids as they stand in the file, before ``reduce_zero_label`` and
    ``label_map`` change them. 0 if the dataset does not name its classes.
    """
    classes = dataset.metainfo.get('classes') or ()
    if getattr(dataset, 'label_map', None) is not None:
        classes = dataset.METAINFO['classes']
    if not classes:
        return 0
    return len(classes) + getattr(dataset, 'reduce_zero_label', False)


def _image_size(content: bytes) -> tuple[int, int]:
    """Decode an image for its size as the network sees it, (width, height).

    Pillow notices a truncated file, which OpenCV would fill up with grey, and
    decodes a JPEG in draft mode in a fraction of the time. What Pillow does
    not know or refuses for its size is left to OpenCV.

    Raises:
        ValueError: If it is not an image.
        Exception: Whatever a decoder raises on a damaged file.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            rotated = image.getexif().get(EXIF_ORIENTATION, 1) >= 5
            image.draft(None, (1, 1))
            image.load()
        return (height, width) if rotated else (width, height)
    except (UnidentifiedImageError, Image.DecompressionBombError):
        decoded = mmcv.imfrombytes(content) if content else None
        if decoded is None:
            raise ValueError('not an image') from None
        return decoded.shape[1], decoded.shape[0]


def _values(mask: np.ndarray) -> np.ndarray:
    """Distinct values of a label map."""
    if mask.dtype == np.uint8:
        return np.bincount(mask.ravel(), minlength=256).nonzero()[0]
    return np.unique(mask)


class SampleChecker:
    """Check the samples of a dataset one by one.

    Args:
        dataset (BaseDataset): Dataset whose items carry ``img_path`` and, if
            its pipeline loads annotations, ``seg_map_path``.
    """

    def __init__(self, dataset: BaseDataset) -> None:
        self.dataset = dataset
        self.loader = annotation_loader(dataset)
        # A loader with its own idea of what the file means has the last word.
        self.own_loading = self.loader is not None and (
            type(self.loader)._load_seg_map
            is not LoadSegAnnotations._load_seg_map)
        self.backend_args = getattr(dataset, 'backend_args', None)
        self.num_ids = (
            len(dataset.metainfo.get('classes') or ())
            if self.own_loading else num_file_ids(dataset))
        self.ignore_index = getattr(dataset, 'ignore_index', 255)

    def paths(self, index: int) -> list[str]:
        """Files of a sample: the image and, if it is loaded, the mask."""
        info = self.dataset.get_data_info(index)
        keys = ['img_path', 'seg_map_path'] if self.loader else ['img_path']
        return [info[key] for key in keys if key in info]

    def fingerprint(self) -> str:
        """Digest of names, sizes, times of the files and of the classes."""
        what = (CHECK_VERSION, self.num_ids, self.ignore_index,
                type(self.loader).__name__)
        digest = hashlib.sha256(repr(what).encode())
        for index in range(len(self.dataset)):
            for path in self.paths(index):
                try:
                    stat = os.stat(path)
                    state = (stat.st_size, stat.st_mtime_ns)
                except OSError:  # remote, or missing: the scan will tell
                    state = (-1, -1)
                digest.update(repr((os.path.abspath(path), state)).encode())
        return digest.hexdigest()

    def problem(self, index: int) -> str | None:
        """Say what is wrong with a sample.

        Returns:
            str, optional: A sentence that names the file, or None.
        """
        info = self.dataset.get_data_info(index)
        image_path = info.get('img_path')
        if image_path is None:
            return None
        try:
            image_size = _image_size(
                fileio.get(image_path, backend_args=self.backend_args))
        except FileNotFoundError:
            return f'image {image_path} does not exist'
        except Exception as error:  # each decoder raises its own kinds
            return f'image {image_path} cannot be read: {error}'
        if self.loader is None:
            return None
        mask_path = info.get('seg_map_path')
        if mask_path is None:
            return f'image {image_path} has no label map'
        try:
            mask = self._load_mask(info)
        except FileNotFoundError:
            return f'label map {mask_path} of {image_path} does not exist'
        except UnidentifiedImageError:
            return f'label map {mask_path} cannot be read: not an image'
        except Exception as error:
            return f'label map {mask_path} cannot be read: {error}'
        return (self._shape_problem(mask, image_size, info)
                or self._value_problem(mask, mask_path))

    def _load_mask(self, info: dict) -> np.ndarray:
        """Label map as it stands in the file.

        Read like :class:`mmseg.datasets.LoadAnnotations` does, but without its
        cast to uint8, which would turn 256 into 0.
        """
        if self.own_loading:
            return self.loader(info)['gt_seg_map']
        content = fileio.get(
            info['seg_map_path'], backend_args=self.loader.backend_args)
        return mmcv.imfrombytes(
            content, flag='unchanged',
            backend=self.loader.imdecode_backend).squeeze()

    @staticmethod
    def _shape_problem(mask: np.ndarray, image_size: tuple[int, int],
                       info: dict) -> str | None:
        path = info['seg_map_path']
        if mask.ndim != 2:
            return (f'label map {path} has {mask.shape[-1]} channels; it must '
                    'have one, holding class ids')
        height, width = mask.shape
        if (width, height) != image_size:
            return (f'label map {path} is {width}x{height}, but its image '
                    f'{info["img_path"]} is {image_size[0]}x{image_size[1]} '
                    '(width x height)')
        return None

    def _value_problem(self, mask: np.ndarray, path: str) -> str | None:
        values = _values(mask)
        known = (values >= 0) & (values < self.num_ids)
        unknown = values[~known & (values != self.ignore_index)].tolist()
        if not unknown or not self.num_ids:
            return None
        shown = ', '.join(map(str, unknown[:MAX_REPORTED]))
        return (f'label map {path} holds {shown}; allowed are 0 to '
                f'{self.num_ids - 1} and {self.ignore_index} (ignored)')


def _scan(checker: SampleChecker, name: str) -> tuple[int, list[str]]:
    """Check this process's share of the samples on all its cores.

    Returns:
        tuple[int, list[str]]: How many samples have a problem, and the first
        few problems. Memory does not grow with the number of problems.
    """
    rank, world_size = dist.get_dist_info()
    total = len(checker.dataset)
    share = range(rank, total, world_size)
    # Pillow decodes without holding the interpreter's lock, so threads do.
    local_size = int(os.getenv('LOCAL_WORLD_SIZE', world_size))
    threads = max(1, (os.cpu_count() or 1) // local_size)
    print_log(
        f'Checking the {total} samples of {name} (done once per set of '
        'files)',
        logger='current')
    step = max(1, len(share) // 100)
    count, first = 0, []
    bar = ProgressBar(len(share)) if rank == 0 and len(share) else None
    with ThreadPool(threads) as pool:
        for done, problem in enumerate(
                pool.imap(checker.problem, share, chunksize=8), 1):
            if problem is not None:
                count += 1
                first.append(problem)
                del first[MAX_REPORTED:]
            if bar and (done % step == 0 or done == len(share)):
                bar.update(done - bar.completed)
    if bar:
        print(flush=True)
    return count, first


def _broadcast(value: Any) -> Any:
    """The main process's value, in every process."""
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def check_dataset(dataset: BaseDataset, cache_dir: Path | None = None) -> None:
    """Check every sample of a dataset, once per set of files.

    Checked are: the image can be read in full; and, if the pipeline loads
    annotations, the label map exists, can be read, has one channel and the
    size of the image, and holds only ids of the dataset's classes and the
    ignored one. A set of files that passed is remembered by names, sizes and
    modification times. The work is shared among all distributed processes,
    and all of them raise the same error.

    Args:
        dataset (BaseDataset): A dataset that owns files.
        cache_dir (Path, optional): Where to remember sets that passed.
            Defaults to :func:`default_cache_dir`.

    Raises:
        ValueError: If any sample has a problem; names the first ones.
    """
    checker = SampleChecker(dataset)
    name = type(dataset).__name__
    marker = None
    if dist.is_main_process():
        folder = cache_dir or default_cache_dir()
        marker = folder / f'{checker.fingerprint()}.checked'
    if _broadcast(marker is not None and marker.exists()):
        return

    parts = dist.all_gather_object(_scan(checker, name))
    count = sum(part[0] for part in parts)
    if count:
        problems = sorted(chain.from_iterable(part[1] for part in parts))
        raise ValueError(_report(name, len(dataset), count, problems))
    if marker is not None:
        _remember(marker, f'{name}: {len(dataset)} samples\n')


def _report(name: str, total: int, count: int, problems: list[str]) -> str:
    lines = [f'{count} of the {total} samples of {name} cannot be used:']
    lines += [f'  - {problem}' for problem in problems[:MAX_REPORTED]]
    if count > MAX_REPORTED:
        lines.append(f'  ... and {count - MAX_REPORTED} more')
    return '\n'.join(lines)


def _remember(marker: Path, text: str) -> None:
    """Write a marker; a cache that cannot be written costs only time."""
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(text)
    except OSError as error:
        print_log(
            f'The files will be checked again next time: {error}',
            logger='current')
