"""Segment images in two lines."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_ssl.apis.checkpoints import (
    find_test_pipeline,
    load_segmentor,
    loads_annotations,
)

Image = str | Path | np.ndarray


class Segmentation(NamedTuple):
    """What a model says about an image."""

    labels: np.ndarray
    """Class of each pixel, shape (H, W) of the image, uint8 (uint16 for more
    than 255 classes)."""
    confidence: np.ndarray | None = None
    """Probability of that class, shape (H, W), float32."""


def usable_device(name: str) -> torch.device:
    """A device that holds tensors, here and now.

    Raises:
        ValueError: There is none of this name, or it does not work.
    """
    try:
        return torch.empty(1, device=name).device
    except (AssertionError, RuntimeError) as error:  # by how torch was built
        reason = str(error).partition('\n')[0].rstrip('.')
        raise ValueError(
            f'device {name!r} cannot be used here ({reason}): leave it out, '
            'or take cpu') from error


class Segmenter:
    """Predict label maps of images.

    .. code:: python

        segment = Segmenter('published/reco_20260101-0123abcd.pth')
        labels, _ = segment('street.jpg')

    Predictions are those of ``mmseg.apis.inference_model``.

    Args:
        model (str | Path): A checkpoint, of a training or published, as path
            or URL; or the name of a model of the zoo, or its config.
        config (str | Path | Config, optional): Defaults to the one that the
            checkpoint carries.
        device (str, optional): Such as ``'cpu'`` or ``'cuda:1'``. Defaults to
            a GPU if there is one.

    Attributes:
        classes (tuple[str]): Names, in the order of the labels.
        palette (list[list[int]]): RGB in [0, 255] of each class.

    Raises:
        FileNotFoundError: The checkpoint or the config does not exist.
        ValueError: The name is not known; the file is no checkpoint, has no
            config or does not fit it; its model segments nothing; or the
            device cannot be used.
    """

    def __init__(self,
                 model: str | Path,
                 config: str | Path | Config | None = None,
                 device: str | None = None) -> None:
        place = usable_device(device or get_device())
        loaded = load_segmentor(model, config)
        self.model = loaded.model.to(place)
        self.classes = loaded.classes
        self.palette = loaded.palette
        self._scope = loaded.config.get('default_scope', 'mmseg')
        load, *others = (
            transform for transform in find_test_pipeline(loaded.config)
            if not loads_annotations(transform))
        init_default_scope(self._scope)
        self._load = TRANSFORMS.build(load)
        self._prepare = Compose(
            [{**load, 'type': 'LoadImageFromNDArray'}, *others])

    def __call__(self,
                 images: Image | Sequence[Image],
                 batch_size: int = 1,
                 confidence: bool = False,
                 progress: bool = False) -> Segmentation | list[Segmentation]:
        """Segment an image or several.

        Args:
            images (Image | Sequence[Image]): Paths, or arrays of shape
                (H, W, 3), uint8, BGR as OpenCV and mmcv read them.
            batch_size (int): Images that go through the network at once;
                only those of the same size do. Defaults to 1.
            confidence (bool): Whether to return it, too. Defaults to False.
            progress (bool): Whether to show a progress bar.
                Defaults to False.

        Returns:
            Segmentation | list[Segmentation]: One for each image; a list if
            a list was given.

        Raises:
            FileNotFoundError: An image does not exist.
            ValueError: An image cannot be read, or is no colour image.
        """
        if isinstance(images, (str, Path, np.ndarray)):
            return self._segment([images], confidence)[0]
        batches = [images[i:i + batch_size]
                   for i in range(0, len(images), batch_size)]
        tracked = track_iter_progress(batches) if progress else batches
        return [result for batch in tracked
                for result in self._segment(batch, confidence)]

    def read(self, path: str | Path) -> np.ndarray:
        """Read an image as the model's test pipeline does.

        Returns:
            np.ndarray: BGR, shape (H, W, 3).

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It cannot be read as an image.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f'image {path} does not exist')
        try:
            return self._load(dict(img_path=str(path)))['img']
        except Exception as error:  # each decoder raises its own kinds
            raise ValueError(
                f'image {path} cannot be read: {error}') from error

    @torch.no_grad()
    def _segment(self, images: Sequence[Image],
                 confidence: bool) -> list[Segmentation]:
        """Predict a batch, images of one size at once."""
        init_default_scope(self._scope)
        prepared = [self._prepare(dict(img=self._array(image)))
                    for image in images]
        by_size: dict[Any, list[int]] = {}
        for i, item in enumerate(prepared):
            size = (item['inputs'].shape, item['data_samples'].ori_shape)
            by_size.setdefault(size, []).append(i)
        results: dict[int, Segmentation] = {}
        for indices in by_size.values():
            samples = self.model.test_step(
                pseudo_collate([prepared[i] for i in indices]))
            for i, sample in zip(indices, samples):
                results[i] = self._result(sample, confidence)
        return [results[i] for i in range(len(images))]

    def _array(self, image: Image) -> np.ndarray:
        array = image if isinstance(image, np.ndarray) else self.read(image)
        if array.ndim != 3 or array.shape[2] != 3:
            raise ValueError('an image must have the shape (H, W, 3), not '
                             f'{array.shape}')
        return array

    def _result(self, sample: SegDataSample,
                confidence: bool) -> Segmentation:
        dtype = np.uint8 if len(self.classes) <= 255 else np.uint16
        labels = sample.pred_sem_seg.data.squeeze(0)
        result = Segmentation(labels.cpu().numpy().astype(dtype))
        if not confidence:
            return result
        of_labels = _confidence(sample.seg_logits.data, labels)
        return result._replace(confidence=of_labels.cpu().numpy())


def _confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """Probability of the labels (H, W), of logits (C, H, W)."""
    logits = logits.float()
    if len(logits) > 1:
        return logits.softmax(dim=0).amax(dim=0)
    # mmseg has turned a single channel into a probability already
    return torch.where(labels > 0, logits[0], 1 - logits[0])
