"""What all methods share that segment by clustering pixels."""
import copy
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import all_reduce_params, get_world_size
from mmseg.models.segmentors import BaseSegmentor
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.utils import (
    ConfigType,
    OptConfigType,
    OptSampleList,
    SampleList,
)
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_ssl.clustering import MiniBatchKMeans
from mmseg_ssl.datasets.padding import refuse_padding
from mmseg_ssl.methods.picie.illustration import illustrate_clusters
from mmseg_ssl.methods.picie.losses import (
    cluster_scores,
    nearest_clusters,
)
from mmseg_ssl.visualization.panels import Illustration


class PixelClustering(BaseSegmentor):
    """Segment by the clusters that pixels of an encoder's features are in.

    Before each epoch :class:`mmseg_ssl.engine.OfflineClusteringHook` freezes a
    snapshot of the encoder and clusters its features, for each view of the
    images. Subclasses say what the views are, and what the encoder learns
    from the clusters. Predicted is the cluster of the encoder as it is now,
    among those of one view: ids of clusters, not of classes, to be evaluated
    by :class:`mmseg_ssl.evaluation.HungarianIoUMetric`.

    Args:
        encoder (dict): Config of what maps images (B, 3, H, W) to features
            (B, channels, h, w).
        channels (int): Of these features.
        num_clusters (int): Clusters to predict, K. Defaults to 27.
        over_clusters (int, optional): A second, larger number of clusters to
            learn from (PiCIE+H: 100). Defaults to None.
        metric (str): 'cosine' or 'euclidean'. Defaults to 'cosine'.
        num_views (int): Views that are clustered. Defaults to 1.
        snapshot_dtype (str, optional): 'bfloat16' or 'float16', which the
            snapshot is autocast to; it gets no gradients, and centres are
            compared in float32. Defaults to None: as the training.
        data_preprocessor (dict, optional): mmseg's ``SegDataPreProcessor``.
        test_cfg (dict, optional): ``view``: whose centroids predict, from 0.
            Defaults to ``dict(view=0)``.
        init_cfg (dict, optional): Initialisation.
    """

    # PreflightHook: what prediction can do without, and training cannot
    training_only = ('snapshot', )
    required_hooks = ('OfflineClusteringHook', )

    def __init__(self,
                 encoder: ConfigType,
                 channels: int,
                 num_clusters: int = 27,
                 over_clusters: int | None = None,
                 metric: str = 'cosine',
                 num_views: int = 1,
                 snapshot_dtype: str | None = None,
                 data_preprocessor: OptConfigType = None,
                 test_cfg: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.num_clusters = [num_clusters]
        if over_clusters is not None:
            if over_clusters <= num_clusters:
                raise ValueError(
                    f'over_clusters={over_clusters} must be more than '
                    f'num_clusters={num_clusters}')
            self.num_clusters.append(over_clusters)
        self.test_cfg = {'view': 0, **(test_cfg or {})}
        if not 0 <= self.test_cfg['view'] < num_views:
            raise ValueError(
                f'test_cfg.view={self.test_cfg["view"]} is not one of the '
                f'{num_views} views of {type(self).__name__} (from 0)')
        self.metric = metric
        self.snapshot_dtype = _autocast_dtype(snapshot_dtype)
        self.encoder = MODELS.build(encoder)
        self.snapshot = copy.deepcopy(self.encoder).requires_grad_(False)
        if self.snapshot_dtype is not None:
            # once, as autocast casts frozen weights anew in every call
            for module in self.snapshot.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    module.to(self.snapshot_dtype)
        # [head][view]; 20 iterations as in the released code
        self.kmeans = nn.ModuleList(
            nn.ModuleList(
                MiniBatchKMeans(num, channels, metric, max_iters=20)
                for _ in range(num_views)) for num in self.num_clusters)
        self.register_buffer('clustered_epoch', torch.tensor(-1))
        self.align_corners = False
        self.out_channels = num_clusters

    # What OfflineClusteringHook asks for.

    @torch.no_grad()
    def settle_norms(self, batches: Iterable[dict]) -> int:
        """Give new batch norms of the encoder the statistics of some images.

        A snapshot of an encoder from scratch would be evaluated with mean 0
        and variance 1, so with other features than those that are trained.
        Norms that have seen images, e.g. pre-trained ones, stay as they are.

        Args:
            batches (Iterable[dict]): What ``data_preprocessor`` gives; left
                alone if there are no new norms.

        Returns:
            int: Number of new norms.
        """
        norms = [module for module in self.encoder.modules()
                 if isinstance(module, _BatchNorm) and _is_new(module)]
        if not norms:
            return 0
        training = self.encoder.training
        momenta = [norm.momentum for norm in norms]
        self.encoder.eval()
        for norm in norms:
            norm.train()
            norm.momentum = None  # the mean over all batches
        for batch in batches:
            refuse_padding(batch['data_samples'])
            self.encode_views(self.encoder, self.make_views(batch['inputs']))
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
        self.encoder.train(training)
        return len(norms)

    def freeze_snapshot(self) -> None:
        """Make the snapshot equal to the encoder, in all processes."""
        if get_world_size() > 1:
            # running statistics come from each process's own images
            all_reduce_params(
                [buffer for buffer in self.encoder.buffers()
                 if buffer.is_floating_point()], op='mean')
        self.snapshot.load_state_dict(self.encoder.state_dict())
        self.snapshot.eval()

    @torch.no_grad()
    def view_features(self, inputs: Tensor,
                      data_samples: SampleList) -> list[Tensor]:
        """Features of the snapshot, (B, D, h, w), for each view."""
        refuse_padding(data_samples)
        return self.encode_frozen(self.make_views(inputs))

    @torch.no_grad()
    def encode_frozen(self, views: Any) -> list[Tensor]:
        """Features (B, D, h, w) of each view, of the snapshot."""
        if self.snapshot_dtype is None:
            return self.encode_views(self.snapshot, views)
        device = self.clustered_epoch.device.type
        with torch.autocast(device, self.snapshot_dtype):
            return [x.float() for x in self.encode_views(self.snapshot, views)]

    def clusterings(self) -> list[tuple[str, int, MiniBatchKMeans]]:
        """Name, view and clustering of each number of clusters and view."""
        return [(f'view{view + 1}_{num}', view, kmeans)
                for num, views in zip(self.num_clusters, self.kmeans)
                for view, kmeans in enumerate(views)]

    # What a method says.

    @abstractmethod
    def make_views(self, images: Tensor) -> Any:
        """Draw the views of images (B, 3, H, W)."""

    @abstractmethod
    def encode_views(self, network: nn.Module, views: Any) -> list[Tensor]:
        """Features (B, D, h, w) of each view, of encoder or snapshot."""

    # What all methods do.

    @torch.no_grad()
    def label(self, features: Tensor, view: int = 0,
              head: int = 0) -> Tensor:
        """Label pixels by their nearest centroid.

        Args:
            features (Tensor): Of the snapshot, for a view, (B, D, h, w).
            view (int): Whose centroids, from 0. Defaults to 0.
            head (int): 0: ``num_clusters``, 1: ``over_clusters``.

        Returns:
            Tensor: Clusters, shape (B, h, w), int64.
        """
        centroids = self.kmeans[head][view].centroids
        return nearest_clusters(features, centroids, self.metric)

    def scores(self, features: Tensor, view: int = 0,
               head: int = 0) -> Tensor:
        """Similarity of pixels to centroids, (B, D, h, w) -> (B, K, h, w)."""
        centroids = self.kmeans[head][view].centroids
        return cluster_scores(features, centroids, self.metric)

    def train(self, mode: bool = True) -> 'PixelClustering':
        """Set the mode of all but the snapshot, which is frozen."""
        super().train(mode)
        self.snapshot.eval()
        return self

    def check_clustered(self) -> None:
        """Refuse to work with centroids that nobody computed.

        Raises:
            RuntimeError: If there are none yet.
        """
        if self.clustered_epoch < 0:
            raise RuntimeError(
                f'{type(self).__name__} has no clusters yet: add '
                "dict(type='OfflineClusteringHook') to custom_hooks, or load "
                'a trained checkpoint')

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Features of the encoder, (B, D, h, w)."""
        return self.encoder(inputs)

    def encode_decode(self, inputs: Tensor,
                      batch_img_metas: list[dict]) -> Tensor:
        """Similarity to the centroids at image size, (B, K, H, W)."""
        scores = self.scores(self.extract_feat(inputs),
                             self.test_cfg['view'])
        return resize(scores, inputs.shape[2:], mode='bilinear',
                      align_corners=self.align_corners)

    def predict(self,
                inputs: Tensor,
                data_samples: OptSampleList = None) -> SampleList:
        """Predict clusters.

        Args:
            inputs (Tensor): Images, shape (B, 3, H, W).
            data_samples (list[SegDataSample], optional): Their samples.

        Returns:
            list[SegDataSample]: ``pred_sem_seg`` holds ids of clusters,
            ``seg_logits`` the similarities to their centroids.
        """
        self.check_clustered()
        return self.postprocess_result(
            self.encode_decode(inputs, []), data_samples)

    def illustrate(self, dataset: BaseDataset, num: int) -> Illustration:
        """Show its clusters; see :func:`illustrate_clusters`."""
        return illustrate_clusters(self, dataset, num)

    def _forward(self,
                 inputs: Tensor,
                 data_samples: OptSampleList = None) -> Tensor:
        return self.encode_decode(inputs, [])


def _autocast_dtype(name: str | None) -> torch.dtype | None:
    """Look up a half precision by its name."""
    known = {None: None, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
    if name not in known:
        raise ValueError(f'snapshot_dtype={name!r} is none of '
                         f'{", ".join(map(repr, known))}')
    return known[name]


def _is_new(norm: _BatchNorm) -> bool:
    """Whether its running statistics are what it was built with.

    The number of batches alone does not tell: old checkpoints hold none.
    """
    return bool(norm.track_running_stats and norm.num_batches_tracked == 0
                and (norm.running_mean == 0).all()
                and (norm.running_var == 1).all())
