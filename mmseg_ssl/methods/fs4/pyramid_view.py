"""The views of an image that have global labels of their own."""
import json
import os.path as osp
from typing import Any, NamedTuple

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

VIEW_NAMES = ('whole', 'top left', 'top right', 'bottom left',
              'bottom right', 'centre')
# left, top, right, bottom, in shares of width and height
_BOXES = ((0, 0, 1, 1), (0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1),
          (0.5, 0.5, 1, 1), (0.25, 0.25, 0.75, 0.75))
WHICH = ('selected', 'whole')


def crop_view(image: np.ndarray, view: int) -> np.ndarray:
    """Cut a view out of an image.

    Args:
        image (np.ndarray): Shape (H, W, ...).
        view (int): Position in :data:`VIEW_NAMES`.

    Returns:
        np.ndarray: The part of it; no copy.

    Raises:
        ValueError: The image is less than two pixels high or wide.
    """
    height, width = image.shape[:2]
    if min(height, width) < 2:
        raise ValueError(f'an image of {width}x{height} pixels has no '
                         'quarters: at least 2x2 are needed')
    left, top, right, bottom = _BOXES[view]
    return image[round(top * height):round(bottom * height),
                 round(left * width):round(right * width)]


class PyramidLabels(NamedTuple):
    """Global labels of the views of all images of a data set."""

    names: np.ndarray
    """File name of each image, in the order of the data set, (N,)."""
    labels: np.ndarray
    """Cluster of each view, (N, 6), int32."""
    similarity: np.ndarray
    """Cosine of each view with the centre of its cluster, (N, 6)."""
    selected: np.ndarray
    """Views that are near enough to their centre, (N, 6), bool."""
    centroids: np.ndarray
    """Centres, shape (K, D), of length 1."""
    manifest: dict[str, Any]
    """What they were made of."""

    def save(self, path: str) -> None:
        """Write an ``.npz`` file."""
        with open(path, 'wb') as file:
            np.savez(file, **{**self._asdict(),
                              'manifest': json.dumps(self.manifest)})

    @classmethod
    def load(cls, path: str) -> 'PyramidLabels':
        """Read an ``.npz`` file.

        Raises:
            FileNotFoundError: It does not exist.
            ValueError: It is something else.
        """
        if not osp.exists(path):
            raise FileNotFoundError(
                f'the pyramid labels {path} do not exist; make them with '
                'tools/dataset_tools/make_pyramid_labels.py CONFIG')
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in cls._fields}
        except Exception as error:  # damaged files fail in many ways
            raise ValueError(
                f'{path} cannot be read as pyramid labels: {error}') from error
        arrays['manifest'] = json.loads(str(arrays['manifest']))
        return cls(**arrays)


@TRANSFORMS.register_module()
class RandomPyramidView(BaseTransform):
    """Replace an image by one of its views that have a global label.

    Required keys: ``img``, ``img_path``, ``sample_idx``. Modified: ``img``,
    ``img_shape``. Added: ``pyramid_view`` (its name), and ``global_label``
    if the view has one; let ``PackSegInputs`` keep it in ``meta_keys``.

    An image none of whose views was selected stays as it is, without a label.

    Args:
        label_file (str): What ``make_pyramid_labels.py`` wrote, for the same
            images in the same order.
        views (str): 'selected': one of the selected views at random (PGG), or
            'whole': always the image with its label (GG in the paper's
            ablation). Defaults to 'selected'.

    Raises:
        FileNotFoundError: When the first image is loaded, if there is no such
            file.
        ValueError: The labels are those of other images.
    """

    def __init__(self, label_file: str, views: str = 'selected') -> None:
        if views not in WHICH:
            raise ValueError(f'views must be one of {WHICH}, not {views!r}')
        self.label_file = label_file
        self.views = views
        self._labels: PyramidLabels | None = None

    def transform(self, results: dict) -> dict:
        """Crop the image."""
        if self._labels is None:
            self._labels = PyramidLabels.load(self.label_file)
        index = results['sample_idx']
        self._check_name(index, osp.basename(results['img_path']))
        views = np.zeros(1, dtype=int)
        labeled = self.views == 'whole'
        if not labeled and self._labels.selected[index].any():
            views = self._labels.selected[index].nonzero()[0]
            labeled = True
        view = int(np.random.choice(views))
        results['img'] = np.ascontiguousarray(crop_view(results['img'], view))
        results['img_shape'] = results['img'].shape[:2]
        results['pyramid_view'] = VIEW_NAMES[view]
        if labeled:
            results['global_label'] = int(self._labels.labels[index, view])
        return results

    def _check_name(self, index: int, name: str) -> None:
        names = self._labels.names
        if index >= len(names) or names[index] != name:
            found = names[index] if index < len(names) else 'nothing'
            raise ValueError(
                f'{self.label_file} holds the labels of other images: number '
                f'{index} of this data set is {name}, there it is {found} '
                f'(of {len(names)}). Make labels for this data set with '
                'tools/dataset_tools/make_pyramid_labels.py')

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(label_file={self.label_file!r}, '
                f'views={self.views!r})')
