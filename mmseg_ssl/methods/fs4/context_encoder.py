"""A pixel encoder whose features see the rest of the image."""
import math

import torch.nn.functional as F
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, OptConfigType
from torch import Tensor, nn

from mmseg_ssl.methods.fs4.context_aware_embedding import (
    ContextAwareEmbedding,
)
from mmseg_ssl.methods.picie import PixelEncoder


@MODELS.register_module()
class ContextPixelEncoder(PixelEncoder):
    """FS4's encoder: backbone, decoder and context-aware embedding (CAE).

    The decoder's map is brought to 1/16 of the image for the CAE, and what
    comes out to 1/8, where a linear projection of the decoder's map is added
    (section 5.1 of the paper).

    Args:
        backbone (dict): Config of the backbone.
        neck (dict): Config of the decoder, whose output has ``channels``.
        channels (int): Channels of the features.
        context (dict, optional): Arguments of
            :class:`ContextAwareEmbedding`.
        context_stride (int): Of the map that the CAE sees, in pixels of the
            image. Defaults to 16.
        out_stride (int): Of the features. Defaults to 8.
        init_cfg (dict, optional): Initialisation.
    """

    def __init__(self,
                 backbone: ConfigType,
                 neck: ConfigType,
                 channels: int,
                 context: OptConfigType = None,
                 context_stride: int = 16,
                 out_stride: int = 8,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(backbone, neck, init_cfg)
        self.context = ContextAwareEmbedding(channels, **(context or {}))
        self.projector = nn.Conv2d(channels, channels, 1)
        self.context_stride = context_stride
        self.out_stride = out_stride

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, channels, H / out_stride, W / out_stride)."""

        def size(stride: int) -> list[int]:
            return [math.ceil(side / stride) for side in images.shape[2:]]

        features = super().forward(images)
        coarse = F.adaptive_avg_pool2d(features, size(self.context_stride))
        refined = self.context(coarse, images)
        fine = self.projector(
            F.adaptive_avg_pool2d(features, size(self.out_stride)))
        return fine + F.interpolate(
            refined, fine.shape[2:], mode='bilinear', align_corners=False)
