"""Heads that say from a feature map what an image is about."""
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.utils import OptConfigType
from torch import Tensor, nn


@MODELS.register_module()
class CAMHead(BaseModule):
    """Class activation maps, averaged over the image: ``GAP(conv(F))``.

    Args:
        in_channels (int): Channels of the feature map.
        num_clusters (int): Global clusters: one map each. Defaults to 50.
        init_cfg (dict, optional): Initialisation.
    """

    def __init__(self,
                 in_channels: int,
                 num_clusters: int = 50,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg)
        self.num_clusters = num_clusters
        self.conv = nn.Conv2d(in_channels, num_clusters, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Scores of the clusters, (B, C, h, w) -> (B, num_clusters)."""
        return self.conv(features).mean((2, 3))

    def loss(self, features: Tensor,
             labels: list[int | None]) -> Tensor:
        """Cross entropy with the labels of images (FS4, Eq. 6).

        Args:
            features (Tensor): Shape (B, C, h, w).
            labels (list[int | None]): Cluster of each image, or None for an
                image that does not count.

        Returns:
            Tensor: Scalar, the mean over the images that count; 0 with a
            graph without any.
        """
        rows = [i for i, label in enumerate(labels) if label is not None]
        scores = self(features).float()
        if not rows:
            return 0 * scores.sum()
        target = scores.new_tensor([labels[i] for i in rows]).long()
        return F.cross_entropy(scores[rows], target)


@MODELS.register_module()
class ModifiedCAMHead(CAMHead):
    """FS4's head, which weighs the maps: ``Linear(ReLU(GAP(conv(F))))``.

    Takes the arguments of :class:`CAMHead`.
    """

    def __init__(self,
                 in_channels: int,
                 num_clusters: int = 50,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(in_channels, num_clusters, init_cfg)
        self.linear = nn.Linear(num_clusters, num_clusters)

    def forward(self, features: Tensor) -> Tensor:
        """Scores of the clusters, (B, C, h, w) -> (B, num_clusters)."""
        return self.linear(super().forward(features).relu())
