"""Pictures of clusters, painted as the classes they are matched to."""
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mmcv
import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_ssl.evaluation import HungarianIoUMetric
from mmseg_ssl.visualization.panels import Illustration, Panel, label_panel

if TYPE_CHECKING:
    from mmseg_ssl.methods.picie.pixel_clustering import PixelClustering

TITLES = ('image', 'truth', 'clusters as classes')


class PaintedClusters:
    """Predictions on labelled images, and what their clusters stand for.

    Args:
        model (PixelClustering): Ready to predict.
        dataset (BaseDataset): Labelled images; all of them are predicted, to
            match the clusters to the classes.
        num (int): How many of them are shown, evenly spaced.

    Attributes:
        shown (list[int]): Which of the images.
        predictions (list[SegDataSample]): Of these.
        matching (Tensor): Class of each cluster, shape (K,).
        scores (dict[str, float]): Of all images.

    Raises:
        ValueError: The images have no labels.
    """

    def __init__(self, model: 'PixelClustering', dataset: BaseDataset,
                 num: int) -> None:
        metric = HungarianIoUMetric(model.num_clusters[0])
        metric.dataset_meta = dataset.metainfo
        num = min(num, len(dataset))
        self.shown = np.linspace(
            0, len(dataset) - 1, num).round().astype(int).tolist()
        self.predictions = []
        for index in range(len(dataset)):
            sample = predict(model, dataset[index])
            if 'gt_sem_seg' not in sample:
                raise ValueError(
                    f'{sample.img_path} has no labels, to which clusters '
                    'could be matched')
            metric.process({}, [sample.to_dict()])
            if index in self.shown:
                self.predictions.append(sample)
        self.scores = metric.evaluate(len(dataset))
        self.matching = torch.from_numpy(metric.matching)

    def classes(self, sample: SegDataSample) -> Tensor:
        """Class ids (H, W) of the clusters of a prediction."""
        return self.matching[sample.pred_sem_seg.data[0].cpu()]


@torch.no_grad()
def predict(model: nn.Module, sample: dict) -> SegDataSample:
    """Prediction for a sample of a dataset."""
    result, = model.test_step(pseudo_collate([sample]))
    return result


def painted_row(painted: PaintedClusters, sample: SegDataSample,
                palette: Sequence[Sequence[int]]) -> list[Panel]:
    """The panels of one image."""
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    return [
        Panel(image, Path(sample.img_path).stem),
        label_panel(sample.gt_sem_seg.data[0], palette),
        label_panel(painted.classes(sample), palette),
    ]


def illustrate_clusters(model: 'PixelClustering', dataset: BaseDataset,
                        num: int) -> Illustration:
    """Show images, their labels, and their clusters as classes.

    Args:
        model (PixelClustering): Ready to predict.
        dataset (BaseDataset): Labelled images, all of which are predicted.
        num (int): How many of them are shown, evenly spaced.

    Returns:
        Illustration: A row for each of them.
    """
    painted = PaintedClusters(model, dataset, num)
    palette = dataset.metainfo['palette']
    rows = [painted_row(painted, sample, palette)
            for sample in painted.predictions]
    note = (f'{len(painted.matching)} clusters, matched to the classes of '
            f'{len(dataset)} images: accuracy {painted.scores["aAcc"]:.1f} %, '
            f'mean IoU {painted.scores["mIoU"]:.1f} %')
    return Illustration(rows, TITLES, notes=[note])
