"""Networks that give each pixel a feature vector."""
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, OptConfigType
from torch import Tensor, nn


@MODELS.register_module()
class BilinearFPN(BaseModule):
    """FPN decoder of PiCIE: 1x1 laterals, upsampled bilinearly and added.

    Unlike mmseg's ``FPN``, it has no 3x3 convolutions and one output, at the
    resolution of the first level.

    Args:
        in_channels (Sequence[int]): Channels of the levels, finest first.
        out_channels (int): Channels of the output: 128 with ResNet-18, 256
            with ResNet-50 in the papers.
        init_cfg (dict, optional): Initialisation. Defaults to Xavier's.
    """

    def __init__(self,
                 in_channels: list[int],
                 out_channels: int,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg or dict(
            type='Xavier', layer='Conv2d', distribution='uniform'))
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, out_channels, 1) for channels in in_channels)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Fuse the levels into one map, (B, out_channels, h0, w0)."""
        if len(inputs) != len(self.laterals):
            raise ValueError(
                f'BilinearFPN was made for {len(self.laterals)} levels '
                f'(in_channels), but the backbone gives {len(inputs)}; see '
                'its out_indices')
        *finer, x = [conv(level)
                     for conv, level in zip(self.laterals, inputs)]
        for level in reversed(finer):
            x = level + F.interpolate(
                x, level.shape[2:], mode='bilinear', align_corners=False)
        return x


@MODELS.register_module()
class PixelEncoder(BaseModule):
    """A backbone and, if there is one, a decoder.

    Args:
        backbone (dict): Config of any mmseg or mmpretrain backbone.
        neck (dict, optional): What fuses its outputs into one map; without
            it, the last output is taken.
        init_cfg (dict, optional): Initialisation of both, e.g. from the
            ``encoder.`` of another checkpoint.
    """

    def __init__(self,
                 backbone: ConfigType,
                 neck: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck is not None else None

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D, h, w) of images (B, 3, H, W)."""
        features = self.backbone(images)
        return features[-1] if self.neck is None else self.neck(features)


@MODELS.register_module()
class RawPixels(BaseModule):
    """The image itself as features: the baseline of clustered colours."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the images (B, 3, H, W) as they are."""
        return images
