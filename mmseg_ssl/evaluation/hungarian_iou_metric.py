"""Scores of clusters that have no names: match them to classes first."""
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def match_clusters(confusion: np.ndarray) -> np.ndarray:
    """Give each cluster a class.

    As many clusters as classes: one to one, so that the most pixels are
    right. More clusters: each gets the class of most of its pixels, the
    first of equals.

    Args:
        confusion (np.ndarray): Pixels of cluster k and class c, shape (K, C).

    Returns:
        np.ndarray: The class of each cluster, shape (K,).

    Raises:
        ValueError: If there are fewer clusters than classes.
    """
    num_clusters, num_classes = confusion.shape
    if num_clusters < num_classes:
        raise ValueError(
            f'{num_clusters} clusters cannot be matched to {num_classes} '
            'classes: some would have no cluster. Set num_clusters to '
            f'{num_classes} (one to one) or more (by majority)')
    if num_clusters == num_classes:
        return linear_sum_assignment(confusion, maximize=True)[1]
    return confusion.argmax(axis=1)


@METRICS.register_module()
class HungarianIoUMetric(IoUMetric):
    """Accuracy and IoU of predicted clusters, matched to the classes.

    The predictions of all images are counted against the labels in a K x C
    matrix, the clusters are matched to the classes (:func:`match_clusters`),
    and the scores of mmseg's ``IoUMetric`` are taken: ``aAcc``, ``mIoU`` and
    ``mAcc``, in percent. For each partition of the classes, ``<name>/aAcc``
    is the share of the pixels of these classes that are right, and
    ``<name>/mIoU`` the mean IoU of these classes. The matching is the one of
    all classes, and the ids of a partition are classes, not clusters.

    (In the released PiCIE code, the scores of things and stuff are taken in
    the order of the clusters, see https://github.com/janghyuncho/PiCIE.)

    Memory is one matrix, for any number of images. Several processes give
    exactly the scores of one: counts are integers, and the samples that a
    sampler repeats to give all processes the same number are left out, as
    in mmengine's other metrics. That needs a sampler like mmengine's
    ``DefaultSampler``, which repeats at most the last sample of a process.

    Args:
        num_clusters (int, optional): Clusters that are predicted, K.
            Defaults to the number of classes.
        partitions (Mapping[str, Sequence[int]], optional): Class ids of named
            groups, e.g. ``dict(things=[0, 1], stuff=[2, 3, 4])``.
        ignore_index (int): Label of pixels that do not count.
            Defaults to 255.
        collect_device (str): 'cpu' or 'gpu', where matrices of several
            processes meet. Defaults to 'cpu'.
        prefix (str, optional): Put before all names of scores.

    Attributes:
        matching (np.ndarray | None): The class of each cluster, shape (K,),
            after an evaluation, on the main process.
    """

    def __init__(self,
                 num_clusters: int | None = None,
                 partitions: Mapping[str, Sequence[int]] | None = None,
                 ignore_index: int = 255,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(ignore_index=ignore_index,
                         collect_device=collect_device, prefix=prefix)
        self.num_clusters = num_clusters
        self.partitions = {
            name: list(classes)
            for name, classes in (partitions or {}).items()
        }
        for name, classes in self.partitions.items():
            if not classes or len(set(classes)) < len(classes):
                raise ValueError(f'partition {name!r} must list different '
                                 f'class ids, at least one, not {classes}')
        self.matching: np.ndarray | None = None
        self._reset()

    def _reset(self) -> None:
        """Forget all images."""
        self._num_samples = 0
        self._confusion: Tensor | int = 0  # of all but the last sample
        self._last: Tensor | int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of clusters and of classes."""
        num_classes = len(self.dataset_meta['classes'])
        return self.num_clusters or num_classes, num_classes

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): Outputs of the model;
                ``pred_sem_seg`` holds clusters, ``gt_sem_seg`` classes.
        """
        for sample in data_samples:
            self._num_samples += 1
            self._confusion = self._confusion + self._last
            self._last = self._count(
                sample['pred_sem_seg']['data'].squeeze(),
                sample['gt_sem_seg']['data'].squeeze(),
                sample.get('img_path', f'sample {self._num_samples - 1}'))

    def _count(self, clusters: Tensor, labels: Tensor, name: str) -> Tensor:
        """Count the pixels of one image, shapes (H, W) -> (K, C) int64."""
        num_clusters, num_classes = self.shape
        labels = labels.to(clusters.device)
        valid = labels != self.ignore_index
        clusters, labels = clusters[valid].long(), labels[valid].long()
        for what, values, limit in (('cluster', clusters, num_clusters),
                                    ('label', labels, num_classes)):
            wrong = (values < 0) | (values >= limit)
            if wrong.any():
                raise ValueError(
                    f'{what} {values[wrong][0].item()} of {name} is not in '
                    f'0..{limit - 1}; this metric has num_clusters='
                    f'{num_clusters}, {num_classes} classes and ignore_index='
                    f'{self.ignore_index}')
        pairs = clusters * num_classes + labels
        return pairs.bincount(minlength=num_clusters * num_classes).view(
            num_clusters, num_classes).cpu()

    def evaluate(self, size: int) -> dict[str, float]:
        """Add up the matrices of all processes, and take the scores.

        Args:
            size (int): Images of the dataset; what samplers repeat beyond
                them does not count.

        Returns:
            dict[str, float]: Scores by name, the same in all processes.
        """
        confusion = torch.zeros(self.shape, dtype=torch.int64)
        confusion += self._confusion
        # sample i of this process is sample i * world size + rank of all
        last = (self._num_samples - 1) * get_world_size() + get_rank()
        if last < size:
            confusion += self._last
        self._reset()
        self.results = [confusion]
        return super().evaluate(size=get_world_size())

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Match the clusters and take the scores.

        Args:
            results (list[Tensor]): Matrices of all processes, shape (K, C).

        Returns:
            dict[str, float]: Scores by name, in percent.
        """
        confusion = torch.stack(results).sum(dim=0)
        num_classes = confusion.size(1)
        self.matching = match_clusters(confusion.numpy())
        matched = confusion.new_zeros(num_classes, num_classes).index_add(
            0, torch.from_numpy(self.matching), confusion).double()
        intersection = matched.diag()
        predicted, labeled = matched.sum(dim=1), matched.sum(dim=0)
        areas = (intersection, predicted + labeled - intersection, predicted,
                 labeled)
        metrics = super().compute_metrics([areas])
        for name, classes in self.partitions.items():
            if not 0 <= min(classes) <= max(classes) < num_classes:
                raise ValueError(
                    f'partition {name!r} has a class id outside of '
                    f'0..{num_classes - 1}: {classes}')
            scores = self.total_area_to_metrics(
                *(area[classes] for area in areas))
            metrics[f'{name}/aAcc'] = np.round(scores['aAcc'] * 100, 2)
            metrics[f'{name}/mIoU'] = np.round(
                np.nanmean(scores['IoU']) * 100, 2)
        return metrics
