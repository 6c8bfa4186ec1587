"""PiCIE: clusters that neither colours nor crops change."""
from typing import Any, NamedTuple

import torch
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, OptConfigType, SampleList
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_ssl.datasets.padding import refuse_padding
from mmseg_ssl.methods.picie.losses import (
    cluster_loss,
    cluster_scores,
    head_weights,
)
from mmseg_ssl.methods.picie.pixel_clustering import PixelClustering
from mmseg_ssl.methods.picie.views import (
    Geometry,
    RandomGeometry,
    RandomPhotometry,
)


class Views(NamedTuple):
    """Two views of a batch."""

    transformed: Tensor
    """G(P1(x)), shape ``(B, 3, *view_size)``."""
    plain: Tensor
    """P2(x), shape ``(B, 3, *view_size)``."""
    geometry: Geometry
    """G, for the features of the second."""


@MODELS.register_module()
class PiCIE(PixelClustering):
    r"""`PiCIE: Unsupervised Semantic Segmentation using Invariance and
    Equivariance in Clustering <https://arxiv.org/abs/2103.17070>`_.

    Each image gets two photometric transforms P1, P2 and one geometric
    transform G. View 1 transforms the image, ``z1 = f(G(P1(x)))``, view 2 the
    features, ``z2 = G(f(P2(x)))``. Each view has its own centroids mu and
    labels y, both of a snapshot of f that is frozen for an epoch. f learns
    labels of its own view and of the other one (FS4, Eq. 1-4):

    .. code:: text

     loss():  make_views() -> P1, P2, G
              encode_views(encoder) -> z1, z2
              encode_views(snapshot) -> label() -> y1, y2
              loss_by_images()  for subclasses
     within = L(z1, y1, mu1) + L(z2, y2, mu2)
     cross  = L(z1, y2, mu2) + L(z2, y1, mu1)

    With ``over_clusters`` this is PiCIE+H: the same with a second number of
    clusters, weighted by :func:`head_weights`. ``MDC`` and
    ``KMeansSegmentor`` are its baselines.

    Args:
        encoder (dict): See :class:`PixelClustering`, as for ``channels``,
            ``num_clusters``, ``over_clusters`` and ``test_cfg``.
        channels (int): Channels of the features.
        view_size (tuple[int, int]): Height and width of what the encoder
            sees. Images are larger (the papers: 640 pixels for views of 320),
            so that a crop shows more detail.
        geometry (dict, optional): Arguments of :class:`RandomGeometry`.
        photometry (dict, optional): Arguments of :class:`RandomPhotometry`.
        temperature (float): Of the softmax over centroids. Defaults to 1.
        balance (bool): Weight clusters by the inverse of their size. The
            released code has weights, too, but in proportion to the size,
            which favours large clusters; the papers have none. Defaults to
            False.
        loss_weight (float): Of the sum of the four losses, which is what the
            equations say; 0.25 makes it the mean that the released code
            takes. Adam takes the same steps for both, unless there is another
            loss beside it (FS4). Defaults to 1.
        **kwargs: Of :class:`PixelClustering`.
    """

    num_views = 2
    training_only = ('snapshot', 'geometry', 'photometry')

    def __init__(self,
                 encoder: ConfigType,
                 channels: int,
                 view_size: tuple[int, int],
                 geometry: OptConfigType = None,
                 photometry: OptConfigType = None,
                 temperature: float = 1.0,
                 balance: bool = False,
                 loss_weight: float = 1.0,
                 **kwargs: Any) -> None:
        super().__init__(encoder, channels, num_views=self.num_views,
                         **kwargs)
        if self.metric != 'cosine':
            raise ValueError(
                f'{type(self).__name__} learns by cosines, and metric='
                f'{self.metric!r} would label by something else: leave it out '
                '(KMeansSegmentor takes any)')
        if temperature <= 0:
            raise ValueError(f'temperature must be > 0, not {temperature}')
        self.view_size = tuple(view_size)
        self.geometry = RandomGeometry(**(geometry or {}))
        self.photometry = RandomPhotometry(
            mean=getattr(self.data_preprocessor, 'mean', 0.0),
            std=getattr(self.data_preprocessor, 'std', 1.0),
            **(photometry or {}))
        self.temperature = temperature
        self.balance = balance
        self.loss_weight = loss_weight
        self.head_weights = head_weights(self.num_clusters)

    def make_views(self, images: Tensor) -> Views:
        """Draw P1, P2 and G.

        Args:
            images (Tensor): Shape (B, 3, H, W).

        Raises:
            ValueError: The images are smaller than the views.
        """
        self.check_size(images)
        geometry = self.geometry(len(images), images.device)
        with torch.no_grad():
            return Views(
                geometry.apply(self.photometry(images), self.view_size),
                self.shrink(self.photometry(images)), geometry)

    def check_size(self, images: Tensor) -> None:
        """Refuse images that are smaller than the views."""
        size = tuple(images.shape[2:])
        if any(side < least for side, least in zip(size, self.view_size)):
            raise ValueError(
                f'images of {size} (height, width) are smaller than '
                f'view_size={self.view_size}: enlarge the crop of the '
                'pipeline, or lower view_size')

    def shrink(self, images: Tensor) -> Tensor:
        """Bring whole images to the size of the views."""
        return F.interpolate(images, self.view_size, mode='bilinear',
                             align_corners=False, antialias=True)

    def encode_views(self, network: nn.Module, views: Views) -> list[Tensor]:
        """Features ``f(G(P1(x)))`` and ``G(f(P2(x)))``, (B, D, h, w)."""
        plain = network(views.plain)
        return [network(views.transformed),
                views.geometry.apply(plain, plain.shape[2:])]

    def loss(self, inputs: Tensor,
             data_samples: SampleList) -> dict[str, Tensor]:
        """Calculate the losses of a batch of images, without labels.

        Args:
            inputs (Tensor): Shape (B, 3, H, W).
            data_samples (list[SegDataSample]): Their samples.

        Returns:
            dict[str, Tensor]: Loss components.
        """
        refuse_padding(data_samples)
        views = self.make_views(inputs)
        frozen = self.encode_frozen(views)
        features = self.encode_views(self.encoder, views)
        losses = self.loss_by_clusters(features, frozen)
        losses.update(self.loss_by_images(features, data_samples))
        return losses

    def loss_by_clusters(self, features: list[Tensor],
                         frozen: list[Tensor]) -> dict[str, Tensor]:
        """Losses within and across views, for each number of clusters.

        Args:
            features (list[Tensor]): z of each view, (B, D, h, w).
            frozen (list[Tensor]): The same of the snapshot.

        Returns:
            dict[str, Tensor]: ``loss_within`` and ``loss_cross``.
        """
        within = cross = features[0].new_zeros(())
        for head, weight in enumerate(self.head_weights):
            labels = [self.label(x, view, head)
                      for view, x in enumerate(frozen)]
            of_head = self.losses_of_labels(features, labels, head)
            within = within + weight * of_head[0]
            cross = cross + weight * of_head[1]
        return dict(loss_within=self.loss_weight * within,
                    loss_cross=self.loss_weight * cross)

    def losses_of_labels(self, features: list[Tensor], labels: list[Tensor],
                         head: int) -> tuple[Tensor, Tensor]:
        """Losses within and across views, for one number of clusters.

        Args:
            features (list[Tensor]): z of each view, (B, D, h, w).
            labels (list[Tensor]): y of each view, (B, h, w).
            head (int): 0: ``num_clusters``, 1: ``over_clusters``.
        """
        # features are read once for the centroids of both views
        centroids = torch.cat(
            [kmeans.centroids for kmeans in self.kmeans[head]])
        scores = [cluster_scores(z, centroids).chunk(2, dim=1)
                  for z in features]
        # [view of the features][view of labels and centroids]
        losses = [[self.loss_of_scores(x, y, view, head)
                   for view, (x, y) in enumerate(zip(pair, labels))]
                  for pair in scores]
        return losses[0][0] + losses[1][1], losses[0][1] + losses[1][0]

    def loss_by_images(self, features: list[Tensor],
                       data_samples: SampleList) -> dict[str, Tensor]:
        """Losses over images as a whole, for subclasses; none here."""
        return {}

    def loss_of_scores(self, scores: Tensor, labels: Tensor, view: int,
                       head: int) -> Tensor:
        """Loss of cosines with the centroids of a view, (B, K, h, w)."""
        weight = None
        if self.balance:
            counts = self.kmeans[head][view].counts.float()
            # an empty cluster is no label
            weight = counts.sum() / counts.clamp(min=1) / len(counts)
        return cluster_loss(scores, labels, self.temperature, weight)
