"""Baselines of PiCIE: one view, and no training at all."""
from typing import Any

import torch
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn

from mmseg_ssl.methods.picie.picie import PiCIE
from mmseg_ssl.methods.picie.pixel_clustering import PixelClustering


@MODELS.register_module()
class MDC(PiCIE):
    """Modified DeepCluster, the single-view baseline of the PiCIE paper.

    One view ``G(P(x))`` of each image is clustered, and learned with the
    labels of its own clusters. Takes the arguments of :class:`PiCIE`.
    """

    num_views = 1

    def make_views(self, images: Tensor) -> Tensor:
        """Draw P and G; images of shape ``(B, 3, *view_size)``."""
        self.check_size(images)
        geometry = self.geometry(len(images), images.device)
        with torch.no_grad():
            return geometry.apply(self.photometry(images), self.view_size)

    def encode_views(self, network: nn.Module, views: Tensor) -> list[Tensor]:
        """Features of the one view, (B, D, h, w)."""
        return [network(views)]

    def loss_by_clusters(self, features: list[Tensor],
                         frozen: list[Tensor]) -> dict[str, Tensor]:
        """Loss within the view, for each number of clusters."""
        within = sum(
            weight * self.loss_of_scores(
                self.scores(features[0], 0, head),
                self.label(frozen[0], 0, head), 0, head)
            for head, weight in enumerate(self.head_weights))
        return dict(loss_within=self.loss_weight * within)


@MODELS.register_module()
class KMeansSegmentor(PixelClustering):
    """K-means on frozen features, or on colours: a baseline without training.

    Use it with :class:`mmseg_ssl.engine.ClusteringLoop`. A trained encoder is
    clustered anew with ``encoder.init_cfg=dict(type='Pretrained',
    checkpoint=FILE, prefix='encoder.')``, as FS4 does for its evaluation;
    ``randomness.seed`` makes another clustering.

    Args:
        encoder (dict): ``RawPixels`` for colours, or a ``PixelEncoder``.
        channels (int): Channels of its features.
        **kwargs: Of :class:`PixelClustering`.
    """

    def __init__(self, encoder: dict, channels: int, **kwargs: Any) -> None:
        super().__init__(encoder, channels, num_views=1, **kwargs)
        self.encoder.requires_grad_(False)
        # optimisers and DistributedDataParallel refuse a model without any
        self.unused = nn.Parameter(torch.zeros(1))

    def train(self, mode: bool = True) -> 'KMeansSegmentor':
        """Keep the encoder frozen in any mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def make_views(self, images: Tensor) -> Tensor:
        """Take the images as they are."""
        return images

    def encode_views(self, network: nn.Module, views: Tensor) -> list[Tensor]:
        """Features of the images, (B, D, h, w)."""
        return [network(views)]

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict:
        """Refuse to train.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            'KMeansSegmentor has nothing to train: set '
            "train_cfg=dict(type='ClusteringLoop', max_epochs=1)")
