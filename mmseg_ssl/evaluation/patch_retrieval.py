"""How often the patch most alike is of the same class."""
from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS
from torch import Tensor

CHUNK = 1024  # patches compared with all others at a time
RANK_PATCHES = 2000  # at most, whose effective rank is computed


@METRICS.register_module()
class PatchRetrieval(BaseMetric):
    """Accuracy of the nearest neighbour among patches of other images.

    Each data sample holds ``patch_features`` (n, D), l2-normalised, and
    ``patch_labels`` (n,). Patches of one image are no neighbours of each
    other: they share its light and colours.

    Args:
        collect_device (str): ``'cpu'`` or ``'gpu'``, where results of several
            processes are gathered. Defaults to ``'cpu'``.
        prefix (str, optional): Put before the names of the metrics, with a
            slash. Defaults to None.
    """

    def __init__(self,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: object,
                data_samples: Sequence[dict]) -> None:
        """Keep features and classes of each image.

        Args:
            data_batch (object): Not used.
            data_samples (Sequence[dict]): With ``patch_features`` and
                ``patch_labels``.
        """
        self.results += [(sample['patch_features'].cpu(),
                          sample['patch_labels'].cpu())
                         for sample in data_samples]

    def compute_metrics(
            self, results: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Look up the nearest neighbour of every patch.

        Args:
            results (list[tuple[Tensor, Tensor]]): Features and classes, one
                pair for each image.

        Returns:
            dict[str, float]: ``nn_acc``, over all patches, and ``nn_mAcc``,
            the mean over classes, in percent; what chance would give is
            ``chance_acc``. ``effective_rank`` tells how many directions the
            features spread over.

        Raises:
            ValueError: If fewer than two images have patches.
        """
        counts = torch.tensor([len(labels) for _, labels in results])
        if (counts > 0).sum() < 2:
            raise ValueError(
                'PatchRetrieval compares patches of different images, but '
                f'only {int((counts > 0).sum())} of {len(results)} has any')
        features = torch.cat([features for features, _ in results])
        labels = torch.cat([labels for _, labels in results])
        image = torch.arange(len(results)).repeat_interleave(counts)
        right = labels[_nearest(features, image)] == labels

        present, class_index, size = labels.unique(
            return_inverse=True, return_counts=True)
        per_class = torch.zeros(len(present), dtype=torch.float64).index_add(
            0, class_index, right.double()) / size
        chance = (size.double() / size.sum()).square().sum()
        return dict(
            nn_acc=100 * right.double().mean().item(),
            nn_mAcc=100 * per_class.mean().item(),
            chance_acc=100 * chance.item(),
            effective_rank=effective_rank(
                features[::-(-len(features) // RANK_PATCHES)]))


def effective_rank(features: Tensor) -> float:
    """Number of directions that features spread over.

    The exponential of the entropy of the shares of variance along principal
    axes (Roy and Vetterli, 2007, of the covariance matrix): k where k axes
    have equal shares, 1 where all features lie on a line.

    Args:
        features (Tensor): Shape (N, D).

    Returns:
        float: From 1 to min(N, D); 0 where all features are equal.
    """
    features = features.double()
    variances = torch.linalg.svdvals(features - features.mean(dim=0)).square()
    total = variances.sum()
    if total < 1e-12:
        return 0.0
    return torch.special.entr(variances / total).sum().exp().item()


def _nearest(features: Tensor, image: Tensor) -> Tensor:
    """Index of the most similar row of another image, shape (N,)."""
    nearest = []
    for rows, own in zip(features.split(CHUNK), image.split(CHUNK)):
        similarity = rows @ features.t()
        similarity[own[:, None] == image] = -torch.inf
        nearest.append(similarity.argmax(dim=1))
    return torch.cat(nearest)
