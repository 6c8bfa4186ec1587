"""Read a folder of images, some with label maps, and say what is wrong."""
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, NamedTuple

import mmcv
import numpy as np
from mmengine.utils import track_iter_progress
from mmseg.registry import TRANSFORMS
from PIL import Image, UnidentifiedImageError

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.checks import (
    EXIF_ORIENTATION,
    MAX_REPORTED,
    SampleChecker,
)
from mmseg_ssl.datasets.folder.dataset import FolderDataset
from mmseg_ssl.datasets.unlabeled import IMG_SUFFIXES, UnlabeledDataset


class Pair(NamedTuple):
    """An image and its label map, both relative to their folders."""

    image: str
    mask: str


@dataclass(frozen=True)
class FolderSpec:
    """What the user has.

    Attributes:
        image_dir (Path): Folder of the images, searched recursively.
        mask_dir (Path, optional): Folder of the label maps. Each has the name
            of its image, in the same sub-folder, with any suffix.
        classes (tuple[str]): Names, in the order of their ids.
        mask_suffix (str, optional): What follows the name of the image in
            that of its label map, e.g. ``'_mask.png'``.
        values (tuple[int], optional): Grey value of each class in the label
            maps. None: its id.
    """

    image_dir: Path
    mask_dir: Path | None = None
    classes: tuple[str, ...] = ()
    mask_suffix: str | None = None
    values: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.mask_dir and len(self.classes) < 2:
            raise ValueError(
                'masks need at least two classes, for example background and '
                f'what you look for; got {list(self.classes)}')
        if self.values and len(self.values) != len(self.classes):
            raise ValueError(
                f'{len(self.values)} values {list(self.values)} are given for '
                f'{len(self.classes)} classes ({", ".join(self.classes)})')

    @property
    def mask_loader(self) -> dict:
        """Transform that loads a label map."""
        if self.values is None:
            return dict(type='LoadAnnotations')
        return dict(type='LoadLabelValues', values=self.values)

    @property
    def legend(self) -> str:
        """What a pixel of a label map may hold."""
        values = self.values or range(len(self.classes))
        named = [f'{value} = {name}'
                 for value, name in zip(values, self.classes, strict=True)]
        if IGNORE_INDEX not in values:
            named.append(f'{IGNORE_INDEX} = void, where nobody knows')
        return ', '.join(named)


@dataclass(frozen=True)
class FolderScan:
    """What was found; nothing in it is damaged.

    Attributes:
        spec (FolderSpec): What was looked at.
        images (list[str]): All images, sorted, relative to their folder.
        sizes (np.ndarray): (N, 2) width and height of each image.
        pairs (list[Pair]): Images with labels, sorted.
        pixels (np.ndarray): (len(pairs), classes) pixels of each class.
        notes (list[str]): What the user should know.
    """

    spec: FolderSpec
    images: list[str]
    sizes: np.ndarray
    pairs: list[Pair] = field(default_factory=list)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), int))
    notes: list[str] = field(default_factory=list)

    @property
    def num_unlabeled(self) -> int:
        """How many images have no labels."""
        return len(self.images) - len(self.pairs)

    @property
    def class_sets(self) -> list[set[int]]:
        """Classes in each of the labelled images."""
        return [set(row.nonzero()[0].tolist()) for row in self.pixels]


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the names of the classes, one a line, in the order of their ids.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A name is empty or stands there twice, or there are none
            or more than 255.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist; it should hold the name of a class per '
            'line, in the order of their ids')
    lines = path.read_text(encoding='utf-8-sig').rstrip().splitlines()
    names = tuple(line.strip() for line in lines)
    if not names:
        raise ValueError(f'{path} is empty; it should hold the name of a '
                         'class per line, in the order of their ids')
    for number, name in enumerate(names):
        if not name:
            raise ValueError(f'{path}: line {number + 1} is empty; each line '
                             'names a class')
        if name in names[:number]:
            raise ValueError(
                f'{path}: {name!r} stands in lines {names.index(name) + 1} '
                f'and {number + 1}; each class needs a name of its own')
    if len(names) > IGNORE_INDEX:
        raise ValueError(f'{path} names {len(names)} classes; at most '
                         f'{IGNORE_INDEX} fit beside void')
    return names


def scan_folder(spec: FolderSpec) -> FolderScan:
    """Look at every file.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: There is no image; a file is damaged; a label map does not
            belong to exactly one image, has another size than it, several
            channels, or a value that stands for no class; or labels are too
            few to learn from. Names the first such files.
    """
    images = _find(spec.image_dir, 'image')
    if spec.mask_dir is None:
        return FolderScan(spec, images, _check_images(spec, images))
    masks = _find(spec.mask_dir, 'mask')
    if spec.mask_suffix:
        masks = [mask for mask in masks if mask.endswith(spec.mask_suffix)]
    images = _without_masks(spec, spec.mask_dir, images, masks)
    pairs, notes = _pair(spec, images, masks)
    pixels = _check_masks(spec, pairs)
    sizes = _check_images(spec, images)
    _check_classes(spec, pixels)

    kept = (pixels.sum(1) > 0).tolist()
    notes += [f'mask {pair.mask} is void everywhere: its image counts as one '
              'without labels'
              for pair, keep in zip(pairs, kept, strict=True) if not keep]
    pairs = [pair for pair, keep in zip(pairs, kept, strict=True) if keep]
    return FolderScan(spec, images, sizes, pairs, pixels[kept], notes)


def _find(folder: Path, kind: str) -> list[str]:
    """All images below a folder of this kind, sorted, relative to it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{kind} folder '{folder}' does not exist")
    try:
        dataset = UnlabeledDataset(
            data_prefix=dict(img_path=str(folder)), serialize_data=False)
    except ValueError as error:
        raise ValueError(
            f"{kind} folder '{folder}' holds no image "
            f'({", ".join(IMG_SUFFIXES)})') from error
    return sorted(
        os.path.relpath(dataset.get_data_info(i)['img_path'], folder)
        for i in range(len(dataset)))


def _without_masks(spec: FolderSpec, mask_dir: Path, images: list[str],
                   masks: list[str]) -> list[str]:
    """Images that are no label maps, where one folder holds both."""
    image_dir, mask_dir = spec.image_dir.resolve(), mask_dir.resolve()
    if image_dir == mask_dir and not spec.mask_suffix:
        raise ValueError(
            f'{image_dir} is the folder of the images and of the masks: say '
            'by --mask-suffix what the names of the masks end with, e.g. '
            '_mask.png')
    if not mask_dir.is_relative_to(image_dir):
        return images
    inner = {os.path.normpath(os.path.relpath(mask_dir / mask, image_dir))
             for mask in masks}
    images = [image for image in images if image not in inner]
    if not images:
        raise ValueError(f'{image_dir} holds nothing but masks')
    return images


def _pair(spec: FolderSpec, images: list[str],
          masks: list[str]) -> tuple[list[Pair], list[str]]:
    """Find the image of each label map."""
    owners: dict[str, list[str]] = {}
    for image in images:
        owners.setdefault(os.path.splitext(image)[0], []).append(image)
    pairs: dict[str, Pair] = {}
    lonely = []
    for mask in masks:
        name = (mask.removesuffix(spec.mask_suffix) if spec.mask_suffix else
                os.path.splitext(mask)[0])
        candidates = owners.get(name, [])
        if not candidates:
            lonely.append(mask)
        elif len(candidates) > 1 or name in pairs:
            both = candidates if len(candidates) > 1 else [
                pairs[name].mask, mask]
            raise ValueError(
                f'{both[0]} and {both[1]} share the name {name!r}, so it is '
                'not clear which image and which mask belong together; '
                'rename or remove one')
        else:
            pairs[name] = Pair(candidates[0], mask)
    if not pairs:
        raise ValueError(_no_pair(spec, masks))
    return sorted(pairs.values()), [
        f'mask {mask} has no image and is not used'
        for mask in lonely[:MAX_REPORTED]] + _more(len(lonely))


def _no_pair(spec: FolderSpec, masks: list[str]) -> str:
    if not masks:
        return (f'no file in {spec.mask_dir} ends with '
                f'{spec.mask_suffix!r}')
    expected = os.path.splitext(masks[0])[0]
    return (
        f'none of the {len(masks)} masks in {spec.mask_dir} has an image: '
        f'for {masks[0]} there should be {spec.image_dir}/{expected} with one '
        f'of {", ".join(IMG_SUFFIXES)}. If the names of masks end in another '
        'way, say so, e.g. --mask-suffix _mask.png')


def _more(count: int) -> list[str]:
    rest = count - MAX_REPORTED
    return [f'... and {rest} more'] if rest > 0 else []


def _map(function: Callable[[int], Any], count: int) -> list:
    """Results for 0, 1, ... by threads, as decoders release Python's lock."""
    with ThreadPool(os.cpu_count()) as pool:
        results = list(track_iter_progress(
            (pool.imap(function, range(count), chunksize=8), count)))
    print(flush=True)
    return results


def _refuse(problems: Iterable[str | None], what: str,
            advice: str = '') -> None:
    """Raise one error that names the first problems, if there are any."""
    found = [problem for problem in problems if problem]
    if not found:
        return
    lines = [f'{len(found)} {what} cannot be used:']
    lines += [f'  - {problem}' for problem in found[:MAX_REPORTED]]
    raise ValueError('\n'.join([*lines, *_more(len(found)), advice]).rstrip())


def _check_images(spec: FolderSpec, images: Sequence[str]) -> np.ndarray:
    """Decode every image; their (N, 2) widths and heights."""
    print(f'Reading {len(images)} images')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'images.txt')
        path.write_text(''.join(f'{image}\n' for image in images))
        dataset = UnlabeledDataset(
            ann_file=str(path), serialize_data=False,
            data_prefix=dict(img_path=str(spec.image_dir)))
    checker = SampleChecker(dataset)
    _refuse(_map(checker.problem, len(images)), 'images')
    return np.array([image_size(spec.image_dir / image) for image in images])


def image_size(path: Path) -> tuple[int, int]:
    """Width and height as the network sees them, from the head of a file."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            rotated = image.getexif().get(EXIF_ORIENTATION, 1) >= 5
        return (height, width) if rotated else (width, height)
    except (UnidentifiedImageError, Image.DecompressionBombError):
        height, width = mmcv.imread(path).shape[:2]
        return width, height


def _check_masks(spec: FolderSpec, pairs: list[Pair]) -> np.ndarray:
    """Check every label map; (N, C) pixels of each class."""
    print(f'Reading {len(pairs)} masks and their images')
    load = TRANSFORMS.build(spec.mask_loader)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'pairs.txt')
        path.write_text(pair_lines(pairs))
        dataset = FolderDataset(
            ann_file=str(path), serialize_data=False,
            metainfo=dict(classes=spec.classes),
            data_prefix=dict(img_path=str(spec.image_dir),
                             seg_map_path=str(spec.mask_dir)),
            pipeline=[load])
    checker = SampleChecker(dataset)

    def look(index: int) -> tuple[str | None, np.ndarray | None]:
        problem = checker.problem(index)
        if problem:
            return problem, None
        labels = load(dataset.get_data_info(index))['gt_seg_map']
        return None, np.bincount(labels.ravel(), minlength=256)

    seen = _map(look, len(pairs))
    _refuse((problem for problem, _ in seen), 'masks or their images',
            'A mask is an image of one channel (PNG, not JPEG, which changes '
            f'values) with a number in each pixel: {spec.legend}. Colours are '
            'no numbers; write the number of each class instead. Grey masks '
            'with other numbers, 0 and 128 for example, can be used as they '
            'are: --values 0 128.')
    return np.array([counts for _, counts in seen])[:, :len(spec.classes)]


def pair_lines(pairs: Iterable[Pair]) -> str:
    """The text of the list of a :class:`FolderDataset`."""
    return ''.join(f'{image}\t{mask}\n' for image, mask in pairs)


def _check_classes(spec: FolderSpec, pixels: np.ndarray) -> None:
    """See whether there is anything to learn."""
    present = [name for name, count in zip(
        spec.classes, pixels.sum(0), strict=True) if count]
    if len(present) > 1:
        return
    hint = '' if spec.values or len(spec.classes) > 2 else (
        f' If they hold 0 and {IGNORE_INDEX}, and {IGNORE_INDEX} means '
        f'{spec.classes[1]!r}: --values 0 {IGNORE_INDEX}.')
    found = f'only {present[0]!r}' if present else 'none'
    raise ValueError(
        f'of the classes, the {len(pixels)} masks hold {found}: there is '
        f'nothing to tell apart. Their pixels mean {spec.legend}.{hint}')
