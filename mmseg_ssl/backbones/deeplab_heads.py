"""Decode heads of DeepLab that mmseg does not have."""
from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import DepthwiseSeparableASPPHead
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class PlainDeepLabV3PlusHead(DepthwiseSeparableASPPHead):
    """DeepLabV3+ with ordinary convolutions, none of them separable.

    The head that `Bootstrapping Semantic Segmentation with Regional Contrast
    <https://arxiv.org/abs/2104.04465>`_ is measured with: dilated 3x3
    convolutions in the pyramid, fused by a 1x1 convolution, and 3x3
    convolutions behind the low-level features.

    Args:
        num_convs (int): 3x3 convolutions of the decoder. ReCo has one,
            DeepLabV3+ two. Defaults to 1.
        **kwargs: Arguments of
            :class:`mmseg.models.decode_heads.DepthwiseSeparableASPPHead`.

    Raises:
        ValueError: ``num_convs`` is below 1.
    """

    def __init__(self, num_convs: int = 1, **kwargs: Any) -> None:
        if num_convs < 1:
            raise ValueError(
                f'num_convs must be at least 1, but got {num_convs}')
        super().__init__(**kwargs)
        layer = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg,
                     act_cfg=self.act_cfg)
        self.aspp_modules = ASPPModule(
            self.dilations, self.in_channels, self.channels, **layer)
        self.bottleneck = ConvModule(
            (len(self.dilations) + 1) * self.channels, self.channels, 1,
            **layer)
        # The name is mmseg's; these are not separable.
        fused_channels = self.channels + kwargs['c1_channels']
        self.sep_bottleneck = nn.Sequential(*(
            ConvModule(self.channels if i else fused_channels, self.channels,
                       3, padding=1, **layer) for i in range(num_convs)))


class AtrousClassifier(nn.Module):
    """Sum of parallel dilated 3x3 convolutions.

    Args:
        in_channels (int): Channels of the features.
        out_channels (int): Channels of the sum.
        dilations (tuple[int]): One convolution for each.
    """

    def __init__(self, in_channels: int, out_channels: int,
                 dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(in_channels, out_channels, 3, padding=dilation,
                      dilation=dilation) for dilation in dilations)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in_channels, h, w) to (B, out_channels, h, w)."""
        return sum(branch(features) for branch in self.branches)


@MODELS.register_module()
class DeepLabV2Head(BaseDecodeHead):
    """Classify each pixel by dilated convolutions, summed.

    Implementation of the pyramid of `DeepLab: Semantic image segmentation with
    deep convolutional nets, atrous convolution, and fully connected CRFs
    <https://arxiv.org/abs/1606.00915>`_ on a ResNet ("DeepLab-ASPP"). The
    pyramid is the classifier, ``conv_seg``, itself.

    Args:
        dilations (tuple[int]): Defaults to (6, 12, 18, 24).
        **kwargs: Arguments of
            :class:`mmseg.models.decode_heads.decode_head.BaseDecodeHead`;
            ``channels`` follows from ``in_channels``.
    """

    def __init__(self, in_channels: int,
                 dilations: tuple[int, ...] = (6, 12, 18, 24),
                 **kwargs: Any) -> None:
        kwargs['channels'] = in_channels
        super().__init__(in_channels=in_channels, **kwargs)
        self.conv_seg = AtrousClassifier(
            in_channels, self.out_channels, tuple(dilations))

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the logits (B, C, h, w) on the grid of the features."""
        return self.cls_seg(self._transform_inputs(inputs))
