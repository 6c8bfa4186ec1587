"""The loss of Mix-and-Match tuning: rank patches of a class before others."""
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn


def triplet_distances(features: Tensor,
                      triplets: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances of normalised features inside each triplet.

    Args:
        features (Tensor): One feature per node, shape (N, ...); what follows
            the first axis is flattened and l2-normalised.
        triplets (Tensor): Anchor, positive and negative node, shape (T, 3),
            int64. A negative of -1 stands for the last node here.

    Returns:
        tuple[Tensor, Tensor]: Distances to the positives and to the
        negatives, each of shape (T,), between 0 and 4. Half precision is
        raised to float32.
    """
    # Half precision is too coarse for sums over thousands of channels.
    with torch.autocast(features.device.type, enabled=False):
        if features.dtype in (torch.float16, torch.bfloat16):
            features = features.float()
        anchor, positive, negative = F.normalize(
            features.flatten(1), dim=1)[triplets.t()]
        return ((anchor - positive).square().sum(dim=1),
                (anchor - negative).square().sum(dim=1))


@MODELS.register_module()
class PatchTripletLoss(nn.Module):
    """Triplet ranking of image patches.

    The loss of `Mix-and-Match Tuning for Self-Supervised Semantic
    Segmentation <https://arxiv.org/abs/1712.00661>`_: ``1 / (2 N) * sum
    max(0, d(a, p) - d(a, n) + margin)`` over N triplets, where d is the
    squared Euclidean distance of l2-normalised features. The triplets come
    from :func:`mmseg_ssl.methods.mix_and_match.class_connected_triplets`.

    Features behind a ReLU have no negative values, so that their distances
    reach from 0 to 2 only, not to 4. Beyond a margin of 2, as the paper's,
    every triplet then stays active and the loss never falls below
    ``(margin - 2) / 2``: it is linear in the distances.

    Args:
        margin (float): How much farther negatives should be. Defaults to 2.1.
        loss_weight (float): Factor of the loss. Defaults to 1.0.
    """

    def __init__(self, margin: float = 2.1, loss_weight: float = 1.0) -> None:
        super().__init__()
        if margin <= 0:
            raise ValueError(f'margin must be positive, but got {margin}')
        self.margin = margin
        self.loss_weight = loss_weight

    def forward(self, features: Tensor, triplets: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            features (Tensor): One feature per node, shape (N, ...); what
                follows the first axis is flattened.
            triplets (Tensor): Anchor, positive and negative node, shape
                (T, 3), int64. Triplets whose negative is -1 are left out.

        Returns:
            Tensor: Scalar. Zero, with a graph to ``features``, when no
            triplet is left.
        """
        self._check_shapes(features, triplets)
        positive, negative = triplet_distances(features, triplets)
        complete = triplets[:, 2] >= 0
        hinge = (positive - negative + self.margin).relu()
        total = torch.where(complete, hinge, 0).sum()
        return self.loss_weight * total / (2 * complete.sum().clamp(min=1))

    @torch.no_grad()
    def statistics(self, features: Tensor,
                   triplets: Tensor) -> dict[str, Tensor]:
        """Describe the triplets, to be logged beside the loss.

        Args:
            features (Tensor): As for the loss.
            triplets (Tensor): As for the loss.

        Returns:
            dict[str, Tensor]: Scalars, means over the triplets that have a
            negative (0 when none has): ``active_share``, the share that still
            contributes to the loss (always 1 behind a ReLU with a margin
            above 2), ``misranked_share``, the share whose positive is
            farther away than the negative, ``positive_distance`` and
            ``negative_distance``.
        """
        self._check_shapes(features, triplets)
        positive, negative = triplet_distances(features, triplets)
        complete = triplets[:, 2] >= 0
        per_triplet = dict(
            active_share=(positive - negative + self.margin > 0).to(positive),
            misranked_share=(positive > negative).to(positive),
            positive_distance=positive,
            negative_distance=negative)
        count = complete.sum().clamp(min=1)
        return {
            name: torch.where(complete, value, 0).sum() / count
            for name, value in per_triplet.items()
        }

    @staticmethod
    def _check_shapes(features: Tensor, triplets: Tensor) -> None:
        if features.dim() < 2 or triplets.dim() != 2 or triplets.size(1) != 3:
            raise ValueError(
                'features must have shape (N, ...) and triplets (T, 3), but '
                f'got {tuple(features.shape)} and {tuple(triplets.shape)}')
