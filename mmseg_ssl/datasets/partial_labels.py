"""A few labelled pixels of each class in every image, as files.

"Partial Labels Full Dataset" of `Bootstrapping Semantic Segmentation with
Regional Contrast <https://arxiv.org/abs/2104.04465>`_ (section 4.1).
"""
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmengine.utils import track_parallel_progress, track_progress
from mmseg.datasets import BaseSegDataset

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.checks import num_file_ids
from mmseg_ssl.datasets.png import write_label_map
from mmseg_ssl.datasets.splits import sparsify_mask

# Share of each class's pixels in an image that stays labelled.
AMOUNTS: dict[str, float | None] = dict(
    p1=None, p1pct=0.01, p5pct=0.05, p25pct=0.25)
RECORD = 'partial_labels.json'


@dataclass(frozen=True)
class PartialLabelsSpec:
    """What the partial labels of a dataset are made of.

    Attributes:
        amounts (tuple[str]): Keys of ``AMOUNTS``.
        seeds (tuple[int]): One set of labels for each.
        size (tuple[int, int], optional): Width and height at which a pixel is
            a pixel, see :func:`sparsify_at`. None: that of the file.
        short_side (int, optional): The same, with the aspect of the file.
    """

    amounts: tuple[str, ...]
    seeds: tuple[int, ...]
    size: tuple[int, int] | None = None
    short_side: int | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.amounts) - set(AMOUNTS))
        if unknown:
            raise ValueError(f'unknown amounts {unknown}: use some of '
                             f'{list(AMOUNTS)}')
        if self.size and self.short_side:
            raise ValueError('give size or short_side, not both')

    def shape_for(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which labels of such a file are drawn."""
        if self.size:
            return self.size[1], self.size[0]
        if self.short_side:
            # As mmcv rescales images.
            scale = self.short_side / min(height, width)
            return int(height * scale + 0.5), int(width * scale + 0.5)
        return height, width


def image_rng(name: str, seed: int) -> np.random.Generator:
    """Random numbers of one image, whatever its place among others."""
    entropy = [seed, *name.encode()]
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(entropy)))


def sparsify_at(mask: np.ndarray, fraction: float | None,
                rng: np.random.Generator,
                shape: tuple[int, int]) -> np.ndarray:
    """Sparsify a label map as it looks at another size.

    Images are often trained at less than their full size. A single labelled
    pixel would mostly be lost on the way, as label maps are resized to the
    nearest pixel. So the map is reduced to ``shape`` first, sparsified there,
    and every kept pixel becomes the block of pixels in the full-size map that
    it stands for: reducing the result in the same way gives it back.

    Args:
        mask (np.ndarray): (H, W) of an integer type; 255 is void.
        fraction (float, optional): See
            :func:`mmseg_ssl.datasets.splits.sparsify_mask`.
        rng (np.random.Generator): As there.
        shape (tuple[int, int]): Height and width, at most those of ``mask``.

    Returns:
        np.ndarray: (H, W), type of ``mask``.

    Raises:
        ValueError: ``shape`` is larger than the map, or empty.
    """
    if shape == mask.shape:
        return sparsify_mask(mask, fraction, rng)
    if any(not 1 <= n <= m for n, m in zip(shape, mask.shape)):
        raise ValueError(
            f'labels cannot be drawn at {shape[1]}x{shape[0]}: the label map '
            f'is {mask.shape[1]}x{mask.shape[0]} (width x height)')
    rows, columns = map(_nearest, shape, mask.shape)
    sparse = sparsify_mask(mask[np.ix_(rows, columns)], fraction, rng)
    row_of, column_of = (
        np.searchsorted(picked, np.arange(m), side='right') - 1
        for picked, m in zip((rows, columns), mask.shape))
    return sparse[np.ix_(row_of, column_of)]


def _nearest(num: int, of: int) -> np.ndarray:
    """Rows that OpenCV picks when it resizes to the nearest one.

    It multiplies by the reciprocal of a ratio in double precision, which may
    round a whole number down to the one before.
    """
    return (np.arange(num) * (1 / (num / of))).astype(int).clip(max=of - 1)


@dataclass(frozen=True)
class LabelMap:
    """A label map to make partial labels from.

    Attributes:
        path (str): Its file.
        name (str): The file's name below the folder of label maps.
        num_ids (int): How many class ids, from 0 on, it may hold; 0: any.
    """

    path: str
    name: str
    num_ids: int

    def load(self) -> np.ndarray:
        """Read the ids (H, W), uint8.

        Raises:
            ValueError: It has several channels, or holds another id.
        """
        mask = mmcv.imfrombytes(
            fileio.get(self.path), flag='unchanged', backend='pillow')
        if mask.ndim != 2:
            raise ValueError(f'label map {self.path} has {mask.shape[-1]} '
                             'channels; it must have one, holding class ids')
        ids = np.unique(mask)
        wrong = ids[(ids != IGNORE_INDEX) & ((ids < 0) | (ids >= (
            self.num_ids or IGNORE_INDEX)))].tolist()
        if wrong:
            raise ValueError(
                f'label map {self.path} holds {wrong}; allowed are 0 to '
                f'{(self.num_ids or IGNORE_INDEX) - 1} and {IGNORE_INDEX} '
                '(void)')
        return mask.astype(np.uint8)


def folder_name(split: str, amount: str, seed: int) -> str:
    """Folder of one set of partial labels, e.g. ``train-p5pct-seed0``."""
    return f'{split}-{amount}-seed{seed}'


def draw_image(label_map: LabelMap, spec: PartialLabelsSpec, out: Path,
               split: str) -> int:
    """Write the sets of one image that are missing.

    The same pixel starts all amounts of one seed, so a smaller amount is part
    of a larger one.

    Returns:
        int: How many files were written.
    """
    name = Path(label_map.name).with_suffix('').as_posix()
    missing = {
        (amount, seed): path
        for amount in spec.amounts for seed in spec.seeds
        if not (path := out / folder_name(split, amount, seed) /
                label_map.name).exists()}
    if not missing:
        return 0
    mask = label_map.load()
    shape = spec.shape_for(*mask.shape)
    for (amount, seed), path in missing.items():
        write_label_map(path, sparsify_at(
            mask, AMOUNTS[amount], image_rng(name, seed), shape))
    return len(missing)


def write_partial_labels(dataset: BaseSegDataset, spec: PartialLabelsSpec,
                         out: Path, split: str, num_procs: int = 1) -> int:
    """Write the partial labels of a dataset, on several processes.

    What is there already is kept, so an interrupted call can be repeated.
    Names of images, label maps and ``spec`` decide every byte.

    Args:
        dataset (BaseSegDataset): Whose label maps to take.
        spec (PartialLabelsSpec): What to write.
        out (Path): Folder of the folders :func:`folder_name`.
        split (str): First part of their names.
        num_procs (int): Processes. Defaults to 1.

    Returns:
        int: How many files were written.

    Raises:
        ValueError: The dataset has no label maps, one of them is damaged, or
            ``out`` holds labels that were made in another way.
    """
    label_maps = _label_maps(dataset)
    for amount in spec.amounts:
        for seed in spec.seeds:
            _check_record(out / folder_name(split, amount, seed), dict(
                dataset=type(dataset).__name__, amount=amount, seed=seed,
                images=len(label_maps),
                names=_digest(label_map.name for label_map in label_maps),
                size=list(spec.size) if spec.size else None,
                short_side=spec.short_side))
    draw = partial(draw_image, spec=spec, out=out, split=split)
    if num_procs == 1:
        return sum(track_progress(draw, label_maps))
    return sum(track_parallel_progress(
        draw, label_maps, nproc=num_procs, chunksize=4))


def _label_maps(dataset: BaseSegDataset) -> Sequence[LabelMap]:
    folder = dataset.data_prefix.get('seg_map_path')
    if not folder:
        raise ValueError(
            f'{type(dataset).__name__} has no label maps; set '
            'data_prefix.seg_map_path')
    paths = sorted(dataset.get_data_info(i)['seg_map_path']
                   for i in range(len(dataset)))
    not_png = [path for path in paths if not path.endswith('.png')]
    if not_png:
        raise ValueError(f'label map {not_png[0]} is no PNG file')
    num_ids = num_file_ids(dataset)
    return [LabelMap(path, Path(os.path.relpath(path, folder)).as_posix(),
                     num_ids) for path in paths]


def _digest(names: Iterable[str]) -> str:
    """Eight hexadecimal digits that tell lists of names apart."""
    return hashlib.sha256('\n'.join(names).encode()).hexdigest()[:8]


def _check_record(folder: Path, record: dict) -> None:
    """Remember in a folder how its labels were made, or compare."""
    path = folder / RECORD
    if path.exists():
        found = json.loads(path.read_text())
        different = [f'{key}={found.get(key)} instead of {value}'
                     for key, value in record.items()
                     if found.get(key) != value]
        if different:
            raise ValueError(
                f'{folder} holds partial labels with {", ".join(different)}; '
                'remove the folder or write elsewhere')
        return
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + '\n')
