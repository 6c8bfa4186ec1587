"""What every dataset class here checks before a training starts."""
import os.path as osp

import mmengine
import mmengine.fileio as fileio
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS


@DATASETS.register_module()
class CheckedSegDataset(BaseSegDataset):
    """A :class:`mmseg.datasets.BaseSegDataset` that refuses missing files.

    mmseg finds out that a file is missing when a worker reads it, possibly
    hours later. This class looks for every file when the dataset is built. It
    opens none: damaged files and wrong label values are found by
    :mod:`mmseg_ssl.datasets.checks`.

    ``img_dir/NAME<img_suffix>`` pairs with ``ann_dir/NAME<seg_map_suffix>``.
    Own images need no class of their own: name the classes in ``metainfo``.

    Raises:
        FileNotFoundError: The list ``ann_file``, the image folder, an image
            of the list or the label map of an image does not exist.
        ValueError: The list or the folder holds no image.
    """

    def load_data_list(self) -> list[dict]:
        """List the samples, in the order of the list or sorted by path."""
        if self.ann_file:
            self._read_list()
        else:
            self._check_folder(self.data_prefix['img_path'])
        data_list = super().load_data_list()
        if not data_list:
            raise ValueError(self._no_image_in(self.data_prefix['img_path']))
        self._check_files(data_list)
        return data_list

    def _read_list(self) -> list[str]:
        """Image names of the list file."""
        name = type(self).__name__
        if not osp.isfile(self.ann_file):
            raise FileNotFoundError(
                f'{name}: the list ann_file={self.ann_file!r} does not '
                'exist; it should hold one image name per line')
        lines = mmengine.list_from_file(
            self.ann_file, backend_args=self.backend_args)
        names = [line.strip() for line in lines]
        if not all(names) or not names:
            raise ValueError(
                f'{name}: the list {self.ann_file!r} is empty or has an '
                'empty line; it should hold one image name per line')
        return names

    def _check_folder(self, folder: str) -> None:
        if not fileio.isdir(folder, backend_args=self.backend_args):
            raise FileNotFoundError(
                f'{type(self).__name__}: the image folder {folder!r} does '
                'not exist; set data_root (--cfg-options data_root=DIR) or '
                'data_prefix')

    def _no_image_in(self, folder: str) -> str:
        return (f'{type(self).__name__}: the image folder {folder!r} holds '
                f'no image with suffix {self.img_suffix!r}')

    def _check_files(self, data_list: list[dict]) -> None:
        """Check that listed images and the label maps of all images exist."""
        name = type(self).__name__
        for info in data_list:
            image, mask = info['img_path'], info.get('seg_map_path')
            if self.ann_file and not self._exists(image):
                raise FileNotFoundError(
                    f'{name}: image {image!r} of the list '
                    f'{self.ann_file!r} does not exist')
            if mask is not None and not self._exists(mask):
                raise FileNotFoundError(
                    f'{name}: image {image!r} has no label map, expected '
                    f'{mask!r}; for images without labels use an '
                    'UnlabeledDataset, for partial labels run '
                    'tools/dataset_tools/make_partial_labels.py first')

    def _exists(self, path: str) -> bool:
        return fileio.exists(path, backend_args=self.backend_args)
