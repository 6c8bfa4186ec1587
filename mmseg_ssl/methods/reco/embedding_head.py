"""A representation head beside any decode head's classifier."""
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, OptConfigType, SampleList
from torch import Tensor, nn

# Where the embedding branches off, as attribute of the wrapped head: the
# module whose input is embedded.
TAPS = dict(classifier='conv_seg', fusion='sep_bottleneck')


@MODELS.register_module()
class EmbeddingHead(BaseModule):
    """Wrap a decode head and embed the features it classifies.

    The representation head of `Bootstrapping Semantic Segmentation with
    Regional Contrast <https://arxiv.org/abs/2104.04465>`_ (section 3.1), for
    any head that classifies with ``conv_seg``. The logits are those of the
    wrapped head; the embedding serves training only and costs nothing when
    the model predicts.

    With ``loss_contrast`` the head trains a plain ``EncoderDecoder`` by ReCo +
    supervised. Without it, the embedding is left to
    :class:`mmseg_ssl.methods.reco.ReCo`, which contrasts labelled and
    unlabelled images together.

    A checkpoint of the wrapped head alone loads as well.

    Args:
        head (dict): Config of the decode head to wrap.
        embed_channels (int): Channels of the embedding, D. Defaults to 256.
        hidden_channels (int): Channels between the two convolutions.
            Defaults to 256.
        tap (str): ``'classifier'`` embeds the features that enter the
            classifier (before its dropout), ``'fusion'`` the concatenated
            features that enter the decoder convolutions of DeepLabV3+
            (``DepthwiseSeparableASPPHead``), as in the paper.
            Defaults to ``'classifier'``.
        norm_cfg (dict, optional): Norm of the hidden layer. Defaults to that
            of the wrapped head, or BN if it has none.
        loss_contrast (dict, optional): Config of the contrast loss, called
            with embedding, label and probability. Defaults to None.
        init_cfg (dict, optional): Initialisation. Defaults to None.

    Raises:
        ValueError: ``tap`` is unknown or not in the head, or the loss is made
            for other sizes.
    """

    # Prediction does without it, see PreflightHook.
    training_only = ('projector', 'loss_contrast')

    def __init__(self,
                 head: ConfigType,
                 embed_channels: int = 256,
                 hidden_channels: int = 256,
                 tap: str = 'classifier',
                 norm_cfg: OptConfigType = None,
                 loss_contrast: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg)
        self.head = MODELS.build(head)
        self.num_classes = self.head.num_classes
        self.out_channels = self.head.out_channels
        self.threshold = self.head.threshold
        self.align_corners = self.head.align_corners
        self.ignore_index = self.head.ignore_index
        self.tap = self._check_tap(tap)
        self.embed_channels = embed_channels
        in_channels = next(m.in_channels
                           for m in getattr(self.head, self.tap).modules()
                           if isinstance(m, nn.Conv2d))
        self.projector = nn.Sequential(
            ConvModule(
                in_channels,
                hidden_channels,
                3,
                padding=1,
                norm_cfg=norm_cfg or self.head.norm_cfg or dict(type='BN')),
            nn.Conv2d(hidden_channels, embed_channels, 1))
        self.loss_contrast = (
            build_contrast_loss(loss_contrast, self)
            if loss_contrast else None)

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the logits (B, C, h, w) and the embedding (B, D, h, w)."""
        tapped = []
        handle = self._tapped_module().register_forward_pre_hook(
            lambda _, args: tapped.append(args[0]))
        try:
            logits = self.head(inputs)
        finally:
            handle.remove()
        if not isinstance(logits, Tensor):
            raise TypeError(
                f'{type(self.head).__name__} returns more than logits, so '
                'EmbeddingHead cannot wrap it; use a head that classifies '
                'with conv_seg alone')
        return logits, self.projector(tapped[0])

    def loss(self, inputs: tuple[Tensor, ...],
             batch_data_samples: SampleList,
             train_cfg: ConfigType) -> dict[str, Tensor]:
        """Losses of the wrapped head, and the contrast loss if there is one.

        Args:
            inputs (tuple[Tensor]): Multi-level features.
            batch_data_samples (list[SegDataSample]): The ground truth.
            train_cfg (dict): Unused, as in mmseg's heads.

        Returns:
            dict[str, Tensor]: Loss components.
        """
        return self.loss_by_feat(self.forward(inputs), batch_data_samples)

    def loss_by_feat(self, outputs: tuple[Tensor, Tensor],
                     batch_data_samples: SampleList) -> dict[str, Tensor]:
        """As :meth:`loss`, from what :meth:`forward` returned."""
        logits, embedding = outputs
        losses = self.head.loss_by_feat(logits, batch_data_samples)
        if self.loss_contrast is not None:
            labels = torch.stack(
                [sample.gt_sem_seg.data for sample in batch_data_samples])
            losses['loss_reco'] = self.loss_contrast(
                embedding,
                on_grid_of(embedding, labels.squeeze(1)),
                probability_on_grid_of(embedding, logits))
        return losses

    def predict(self, inputs: tuple[Tensor, ...],
                batch_img_metas: list[dict],
                test_cfg: ConfigType) -> Tensor:
        """Logits of the wrapped head at image size; no embedding is made."""
        return self.head.predict(inputs, batch_img_metas, test_cfg)

    def _check_tap(self, tap: str) -> str:
        """Return the attribute of the wrapped head that ``tap`` stands for."""
        if tap not in TAPS:
            raise ValueError(
                f'tap must be one of {sorted(TAPS)}, but got {tap!r}')
        if not isinstance(getattr(self.head, TAPS[tap], None), nn.Module):
            raise ValueError(
                f'{type(self.head).__name__} has no {TAPS[tap]!r} module, so '
                f'tap={tap!r} cannot be used with it')
        return TAPS[tap]

    def _tapped_module(self) -> nn.Module:
        # Dropout belongs to the classifier: an embedding of features with
        # whole channels missing would be contrasted with one without.
        if self.tap == TAPS['classifier'] and self.head.dropout is not None:
            return self.head.dropout
        return getattr(self.head, self.tap)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str,
                              *args: Any) -> None:
        """Accept the weights of the wrapped head without its ``head.``."""
        own = (f'{prefix}head.', f'{prefix}projector.',
               f'{prefix}loss_contrast.')
        for key in list(state_dict):
            if key.startswith(prefix) and not key.startswith(own):
                inner_key = f'{prefix}head.{key.removeprefix(prefix)}'
                state_dict[inner_key] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


def build_contrast_loss(cfg: ConfigType, head: EmbeddingHead) -> nn.Module:
    """Build the contrast loss of a head's embedding.

    Args:
        cfg (dict): Config of the loss. A loss that is not for every network
            has a method ``check_sizes(num_classes, embed_channels)``.
        head (EmbeddingHead): Whose embedding it will contrast.

    Returns:
        nn.Module: The loss.

    Raises:
        ValueError: The loss is made for other sizes.
    """
    loss = MODELS.build(cfg)
    if hasattr(loss, 'check_sizes'):
        loss.check_sizes(head.out_channels, head.embed_channels)
    return loss


def on_grid_of(embedding: Tensor, pixel_map: Tensor) -> Tensor:
    """Pick a map's values at the centre cells of an embedding's grid.

    Args:
        embedding (Tensor): Shape (B, D, h, w).
        pixel_map (Tensor): Labels or confidence, shape (B, H, W).

    Returns:
        Tensor: Nearest values, shape (B, h, w), dtype of ``pixel_map``.
    """
    # Nearest neighbours of integers are exact in float32 up to 2**24.
    picked = F.interpolate(
        pixel_map.unsqueeze(1).float(),
        size=embedding.shape[2:],
        mode='nearest-exact')
    return picked.squeeze(1).to(pixel_map.dtype)


def probability_on_grid_of(embedding: Tensor, logits: Tensor) -> Tensor:
    """Class probabilities (B, C, h, w) on an embedding's grid, no gradient."""
    logits = resize(
        logits.detach(), size=embedding.shape[2:], mode='bilinear')
    return logits.softmax(dim=1)
