"""Own images and label maps, paired by a list, whatever their names."""
import os.path as osp
from collections.abc import Sequence
from typing import Any

import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS, TRANSFORMS

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.base import CheckedSegDataset


@DATASETS.register_module()
class FolderDataset(CheckedSegDataset):
    """Images with label maps, as a list pairs them.

    Each line of ``ann_file`` is ``IMAGE<tab>LABEL_MAP``, relative to
    ``data_prefix['img_path']`` and ``data_prefix['seg_map_path']``, both with
    their suffixes; so names may have blanks and suffixes may differ. Name the
    classes in ``metainfo``. ``tools/dataset_tools/prepare_folder.py`` writes
    such lists and the configs that use them.

    Takes the arguments of :class:`mmseg.datasets.BaseSegDataset`.

    Raises:
        FileNotFoundError: The list or a file of it does not exist.
        ValueError: There is no list, it is empty, or a line holds no pair.
    """

    def load_data_list(self) -> list[dict]:
        """List the samples, in the order of the list."""
        if not self.ann_file:
            raise ValueError(
                'FolderDataset: ann_file is missing; it should be a list with '
                'a line IMAGE<tab>LABEL_MAP for each image')
        data_list = [self._sample(line) for line in self._read_list()]
        self._check_files(data_list)
        return data_list

    def _sample(self, line: str) -> dict:
        parts = line.split('\t')
        if len(parts) != 2:
            raise ValueError(
                f'FolderDataset: a line of the list {self.ann_file!r} should '
                f'be IMAGE<tab>LABEL_MAP, got {line!r}')
        image, label_map = parts
        return dict(
            img_path=osp.join(self.data_prefix['img_path'], image),
            seg_map_path=osp.join(
                self.data_prefix['seg_map_path'], label_map),
            label_map=None, reduce_zero_label=False, seg_fields=[])


@TRANSFORMS.register_module()
class LoadLabelValues(LoadAnnotations):
    """Load label maps whose classes have grey values of their own.

    For masks of 0 and 255, for example, where mmseg would take 255 as void.

    Args:
        values (Sequence[int]): The value of class 0, of class 1, and so on,
            each from 0 to 255. 255 is void unless it is among them.
        **kwargs: Of :class:`mmseg.datasets.transforms.LoadAnnotations`.

    Raises:
        ValueError: ``values`` repeats a value or has one out of range; when
            called: the file has several channels, or another value.
    """

    def __init__(self, values: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.values = tuple(values)
        if (len(set(self.values)) < len(self.values)
                or not set(self.values) <= set(range(256))):
            raise ValueError(
                'LoadLabelValues: values should be different numbers from 0 '
                f'to 255, one for each class; got {list(self.values)}')
        self._table = np.full(256, -1, np.int16)
        self._table[IGNORE_INDEX] = IGNORE_INDEX
        self._table[list(self.values)] = range(len(self.values))

    def _load_seg_map(self, results: dict) -> None:
        content = fileio.get(
            results['seg_map_path'], backend_args=self.backend_args)
        read = mmcv.imfrombytes(
            content, flag='unchanged', backend=self.imdecode_backend)
        if read.ndim != 2:
            raise ValueError(f'it has {read.shape[-1]} channels instead of '
                             'one')
        if read.dtype == bool and not {0, 1} <= set(self.values):
            raise ValueError(
                'it has one bit a pixel, 0 or 1 (which programs show as black '
                'and white); the values of the classes are '
                f'{", ".join(map(str, self.values))}: have 0 and 1 in place '
                'of two of them, or leave --values out if they are all')
        values = read.astype(np.uint8)
        labels = self._table[values]
        unknown = np.unique(read[(labels < 0) | (values != read)]).tolist()
        if unknown:
            raise ValueError(
                f'it holds {", ".join(map(str, unknown[:10]))}; the values of '
                f'the classes are {", ".join(map(str, self.values))}')
        results['gt_seg_map'] = labels.astype(np.uint8)
        results['seg_fields'].append('gt_seg_map')

    def __repr__(self) -> str:
        return f'{type(self).__name__}(values={self.values})'
