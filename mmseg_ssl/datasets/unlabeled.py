"""Images without labels."""
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mmengine.fileio as fileio
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS

from mmseg_ssl.datasets.base import CheckedSegDataset

IMG_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


@DATASETS.register_module()
class UnlabeledDataset(CheckedSegDataset):
    """Images of one or more folders, or of a list; no label map is touched.

    Folders are searched recursively, and the images of each sorted by path. A
    list (``ann_file``) holds one image per line, with or without its suffix,
    relative to the one folder.

    Args:
        data_prefix (Mapping): ``img_path`` is a folder or a sequence of
            folders, relative to ``data_root``. Defaults to
            ``dict(img_path='')``.
        img_suffix (str | Sequence[str]): What image files end with, in
            either case. Defaults to the usual formats.
        **kwargs: Of :class:`mmseg.datasets.BaseSegDataset`.

    Raises:
        FileNotFoundError: A folder, the list or an image of it is missing.
        ValueError: A folder or the list holds no image; there is a list and
            more than one folder; or label maps are asked for.
    """

    def __init__(self,
                 data_prefix: Mapping = dict(img_path=''),
                 img_suffix: str | Sequence[str] = IMG_SUFFIXES,
                 **kwargs: Any) -> None:
        if set(data_prefix) != {'img_path'}:
            raise ValueError(
                'UnlabeledDataset: data_prefix should have the key img_path '
                f'and no other, got {sorted(data_prefix)}')
        folders = data_prefix['img_path']
        if isinstance(folders, str):
            folders = [folders]
        if isinstance(img_suffix, str):
            img_suffix = [img_suffix]
        # mmengine joins each of the prefixes with the data root.
        super().__init__(
            data_prefix={f'img_path{i}': path
                         for i, path in enumerate(folders)},
            img_suffix=tuple(suffix.lower() for suffix in img_suffix),
            **kwargs)
        if any(isinstance(transform, LoadAnnotations)
               for transform in self.pipeline.transforms):
            raise ValueError(
                'UnlabeledDataset: its pipeline must not load annotations; '
                'take LoadAnnotations out')

    def load_data_list(self) -> list[dict]:
        """List the images, in the order of the list or sorted by path."""
        paths = self._listed() if self.ann_file else self._found()
        return [
            dict(img_path=path, label_map=None, reduce_zero_label=False,
                 seg_fields=[]) for path in paths
        ]

    def _found(self) -> list[str]:
        """Paths of all images in the folders."""
        paths: list[str] = []
        for folder in self.data_prefix.values():
            self._check_folder(folder)
            found = sorted(self._images_in(folder))
            if not found:
                raise ValueError(self._no_image_in(folder))
            paths.extend(found)
        return paths

    def _images_in(self, folder: str) -> Iterable[str]:
        for name in fileio.list_dir_or_file(
                folder, list_dir=False, recursive=True,
                backend_args=self.backend_args):
            if name.lower().endswith(self.img_suffix):
                yield self._join(folder, name)

    def _listed(self) -> list[str]:
        """Paths of the images of the list."""
        if len(self.data_prefix) > 1:
            raise ValueError(
                f'UnlabeledDataset: the images of the list {self.ann_file!r} '
                'should be in one folder, but data_prefix names '
                f'{list(self.data_prefix.values())}')
        folder, = self.data_prefix.values()
        return [self._resolve(self._join(folder, name))
                for name in self._read_list()]

    def _resolve(self, path: str) -> str:
        """Path of an existing image, given with or without its suffix."""
        has_suffix = path.lower().endswith(self.img_suffix)
        candidates = [path] if has_suffix else [
            path + suffix for suffix in self.img_suffix]
        for candidate in candidates:
            if self._exists(candidate):
                return candidate
        raise FileNotFoundError(
            f'UnlabeledDataset: image {candidates[0]!r} of the list '
            f'{self.ann_file!r} does not exist')

    def _join(self, folder: str, name: str) -> str:
        return fileio.join_path(
            folder, name, backend_args=self.backend_args) if folder else name
