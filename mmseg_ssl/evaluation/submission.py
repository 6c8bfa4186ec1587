"""Predictions of test images as evaluation servers want them."""
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS
from PIL import Image

from mmseg_ssl.datasets.conversion.cityscapes import LABEL_SETS


class SubmissionWriter(BaseMetric):
    """Write a PNG for every image, and measure nothing.

    The test images of servers have no labels. Several processes write the
    images they were given; nothing is gathered but the names.

    Args:
        output_dir (str): Where to write; folders are made.
        collect_device (str): ``'cpu'`` or ``'gpu'``, where names of several
            processes are gathered. Defaults to ``'cpu'``.
        prefix (str, optional): Put before ``files``, with a slash.
            Defaults to None.
    """

    def __init__(self,
                 output_dir: str,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.folder = Path(output_dir)

    @abstractmethod
    def encode(self, labels: np.ndarray, name: str) -> Image.Image:
        """The file of a label map of class ids, shape (H, W), uint8."""

    def process(self, data_batch: object,
                data_samples: Sequence[dict]) -> None:
        """Write the predictions of a batch.

        Args:
            data_batch (object): Not used.
            data_samples (Sequence[dict]): With ``pred_sem_seg`` and
                ``img_path``.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for sample in data_samples:
            labels = sample['pred_sem_seg']['data'].squeeze(0).cpu().numpy()
            path = self.folder / f'{Path(sample["img_path"]).stem}.png'
            self.encode(labels.astype(np.uint8), path.stem).save(path)
            self.results.append(path.name)

    def compute_metrics(self, results: list[str]) -> dict[str, int]:
        """Count the files.

        Args:
            results (list[str]): Their names.

        Returns:
            dict[str, int]: ``files``, how many there are.
        """
        return dict(files=len(results))


@METRICS.register_module()
class VOCSubmission(SubmissionWriter):
    """Segmentation results of PASCAL VOC 2012.

    ``results/VOC2012/Segmentation/<competition>_<split>_cls/NAME.png``, with
    class ids 0 to 20 and the palette of VOC. The server takes an archive of
    the folder ``results``.

    Args:
        output_dir (str): Holds the folder ``results``.
        competition (str): ``'comp5'`` if nothing but VOC's own training
            images were used, else ``'comp6'``. Defaults to ``'comp6'``, as
            the labels of SBD do not belong to VOC.
        split (str): Defaults to ``'test'``.
        **kwargs: Of :class:`SubmissionWriter`.
    """

    def __init__(self,
                 output_dir: str,
                 competition: str = 'comp6',
                 split: str = 'test',
                 **kwargs: str) -> None:
        folder = Path(output_dir, 'results/VOC2012/Segmentation',
                      f'{competition}_{split}_cls')
        super().__init__(str(folder), **kwargs)

    def encode(self, labels: np.ndarray, name: str) -> Image.Image:
        """Paint with the palette of the data set."""
        image = Image.fromarray(labels)
        image.putpalette(np.ravel(self.dataset_meta['palette']).tolist())
        return image


@METRICS.register_module()
class CityscapesSubmission(SubmissionWriter):
    """Pixel-level results of Cityscapes.

    ``NAME.png`` for ``NAME`` of the image, with label ids (7 for road), not
    train ids. The server takes an archive of the files.

    Args:
        output_dir (str): Where to write.
        size (tuple[int, int]): Width and height that the server asks for.
            Defaults to (2048, 1024).
        **kwargs: Of :class:`SubmissionWriter`.

    Raises:
        ValueError: When it is run, if a prediction has another size.
    """

    def __init__(self,
                 output_dir: str,
                 size: tuple[int, int] = (2048, 1024),
                 **kwargs: str) -> None:
        super().__init__(output_dir, **kwargs)
        self.size = tuple(size)

    def encode(self, labels: np.ndarray, name: str) -> Image.Image:
        """Turn train ids into label ids."""
        if labels.shape[::-1] != self.size:
            raise ValueError(
                f'the prediction of {name} is {labels.shape[1]}x'
                f'{labels.shape[0]}, but the server wants {self.size[0]}x'
                f'{self.size[1]} (width x height); predict the test images '
                'as they were downloaded')
        label_ids = np.array(LABEL_SETS[19].class_ids, dtype=np.uint8)
        return Image.fromarray(label_ids[labels])
