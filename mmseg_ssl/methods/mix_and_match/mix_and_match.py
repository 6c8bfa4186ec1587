"""Mix-and-Match tuning of a backbone on labelled images."""
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import broadcast, get_rank, get_world_size
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import (
    ConfigType,
    OptConfigType,
    OptSampleList,
    SampleList,
)
from torch import Tensor

from mmseg_ssl.methods.mix_and_match.gather import gather_nodes
from mmseg_ssl.methods.mix_and_match.graph import (
    class_connected_triplets,
    random_triplets,
)
from mmseg_ssl.methods.mix_and_match.patches import sample_patches

MATCHINGS = dict(graph=class_connected_triplets, random=random_triplets)
# Each image is cut into the same patches at every validation.
VALIDATION_SEED = 0


@MODELS.register_module()
class MixAndMatch(BaseModel):
    """Tune a backbone by ranking patches of the same class before others.

    The middle stage of `Mix-and-Match Tuning for Self-Supervised Semantic
    Segmentation <https://arxiv.org/abs/1712.00661>`_, between a proxy task
    and fine-tuning. Any backbone will do of mmseg or mmpretrain. The
    next stage takes it over by its name, ``backbone``.

    .. code:: text

     loss(): mix()    sample_patches: patches and the class of each
             embed()  backbone -> one map -> (pooled)
             (gather_nodes)
             match()  class_connected_triplets or random_triplets
             PatchTripletLoss, and its statistics for the log
     predict(): the same patches of an image whenever it is called, and their
             features, for ``PatchRetrieval``

    Args:
        backbone (dict): Config of a backbone.
        patches (dict, optional): Arguments of :func:`sample_patches`, at
            least ``num_per_image``. Defaults to
            ``dict(num_per_image=10)``.
        matching (str): ``'graph'`` (class-wise connected) or ``'random'``
            (the paper's baseline). Defaults to ``'graph'``.
        loss_triplet (dict, optional): Config of the loss. Defaults to
            ``dict(type='PatchTripletLoss')``.
        in_index (int): Which map of the backbone to use. Defaults to -1.
        pool_size (int, optional): Cells along each side to which the map is
            averaged. None takes the map as it is, as the paper does with
            pool5 of AlexNet (3 x 3 cells) and VGG-16 (4 x 4).
            Defaults to None.
        gather_nodes (bool): Whether the patches of all processes form one
            graph; otherwise each process has its own. Defaults to False.
        data_preprocessor (dict, optional): Defaults to None.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    def __init__(self,
                 backbone: ConfigType,
                 patches: OptConfigType = None,
                 matching: str = 'graph',
                 loss_triplet: OptConfigType = None,
                 in_index: int = -1,
                 pool_size: int | None = None,
                 gather_nodes: bool = False,
                 data_preprocessor: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if matching not in MATCHINGS:
            raise ValueError(f'matching must be one of {list(MATCHINGS)}, but '
                             f'got {matching!r}')
        self.backbone = MODELS.build(backbone)
        self.patches = dict(patches or dict(num_per_image=10))
        self.draw_triplets = MATCHINGS[matching]
        self.loss_triplet = MODELS.build(
            loss_triplet or dict(type='PatchTripletLoss'))
        self.in_index = in_index
        self.pool_size = pool_size
        self.gather_nodes = gather_nodes

    def forward(self,
                inputs: Tensor,
                data_samples: OptSampleList = None,
                mode: str = 'tensor') -> Any:
        """Tune, predict or embed.

        Args:
            inputs (Tensor): Images, shape (B, 3, H, W); in mode 'tensor',
                patches.
            data_samples (list[SegDataSample], optional): With
                ``gt_sem_seg``.
            mode (str): 'loss', 'predict' or 'tensor'.

        Returns:
            dict[str, Tensor] | list[SegDataSample] | Tensor: Losses and what
            is logged beside them; samples with the features of patches; or
            features (P, D).

        Raises:
            ValueError: For any other mode.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.embed(inputs)
        raise ValueError(
            f"mode must be 'loss', 'predict' or 'tensor', but got {mode!r}")

    def loss(self, inputs: Tensor,
             data_samples: SampleList) -> dict[str, Tensor]:
        """Mix patches of all images, match them and rank the triplets.

        Args:
            inputs (Tensor): Images, shape (B, 3, H, W).
            data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            dict[str, Tensor]: ``loss_triplet``; for the log ``active_share``,
            ``misranked_share``, ``positive_distance`` and
            ``negative_distance``, see
            :meth:`PatchTripletLoss.statistics`, and ``num_nodes``. The loss
            is 0, with a graph to all weights, when no image has a labelled
            pixel or all patches are of one class.
        """
        patches, labels = self.mix(inputs, data_samples)
        features = self.embed(patches) if len(patches) else self._no_features(
            patches)
        if self.gather_nodes:
            features, labels = gather_nodes(features, labels)
        triplets = self.match(labels)
        return dict(
            loss_triplet=self.loss_triplet(features, triplets),
            num_nodes=torch.full_like(features[:0].sum(), len(labels)),
            **self.loss_triplet.statistics(features, triplets))

    def mix(self, inputs: Tensor, data_samples: SampleList,
            generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Sample patches of all images.

        Returns:
            tuple[Tensor, Tensor]: Patches (P, 3, s, s) and classes (P,).
        """
        labels = torch.stack(
            [sample.gt_sem_seg.data.squeeze(0) for sample in data_samples])
        patches, classes, _ = sample_patches(
            inputs, labels.long(), generator=generator, **self.patches)
        return patches, classes

    def embed(self, patches: Tensor) -> Tensor:
        """Features of patches, flattened but not yet normalised, (P, D)."""
        maps = self.backbone(patches)
        # some backbones return their only map without a tuple
        features = maps if isinstance(maps, Tensor) else maps[self.in_index]
        if self.pool_size is not None:
            features = F.adaptive_avg_pool2d(features, self.pool_size)
        return features.flatten(1)

    def _no_features(self, patches: Tensor) -> Tensor:
        """Features (0, D) that depend on all weights, as DDP expects.

        Norm layers must not average over a blank patch. A process alone puts
        them aside for it. One of several must run all that they do together,
        or the others would wait for it: norm layers of torch leave out an
        empty batch, here and there.
        """
        if get_world_size() > 1:
            return self.embed(patches)
        training = self.backbone.training
        self.backbone.eval()
        blank = patches.new_zeros((1, *patches.shape[1:]))
        features = self.embed(blank)[:0]
        self.backbone.train(training)
        return features

    def match(self, labels: Tensor) -> Tensor:
        """Draw triplets of nodes, the same in all processes if gathered.

        Args:
            labels (Tensor): Class of each node, shape (N,).

        Returns:
            Tensor: Anchor, positive, negative; shape (N, 3), int64.
        """
        if not self.gather_nodes:
            return self.draw_triplets(labels)
        if get_rank() == 0:
            triplets = self.draw_triplets(labels)
        else:
            triplets = labels.new_empty((len(labels), 3), dtype=torch.int64)
        broadcast(triplets)
        return triplets

    @torch.no_grad()
    def predict(self, inputs: Tensor,
                data_samples: SampleList) -> list[SegDataSample]:
        """Add the features of patches to samples.

        Args:
            inputs (Tensor): Images, shape (B, 3, H, W).
            data_samples (list[SegDataSample]): With ``gt_sem_seg`` of the
                images' size.

        Returns:
            list[SegDataSample]: With ``patch_features`` (n, D), normalised,
            and ``patch_labels`` (n,); n is 0 for an image without a labelled
            pixel.

        Raises:
            ValueError: If a label map has another size than its image.
        """
        for image, sample in zip(inputs, data_samples):
            label_size = sample.gt_sem_seg.shape
            if tuple(label_size) != tuple(image.shape[1:]):
                raise ValueError(
                    f'{sample.get("img_path")}: patches need labels of the '
                    f"image's size {tuple(image.shape[1:])}, but got "
                    f'{tuple(label_size)}; put LoadAnnotations before Resize '
                    'in the pipeline')
            generator = torch.Generator(image.device).manual_seed(
                VALIDATION_SEED)
            patches, labels = self.mix(image[None], [sample], generator)
            features = self.embed(patches) if len(
                patches) else self._no_features(patches)
            sample.set_data(dict(
                patch_features=F.normalize(features.float(), dim=1),
                patch_labels=labels))
        return data_samples
