"""MobileNetV2 with the wide layer behind its last stage."""
from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.backbones import MobileNetV2
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class MobileNetV2WithLast(MobileNetV2):
    """mmseg's MobileNetV2 and the 1x1 convolution that it leaves out.

    The layer is called ``conv2``, as in mmpretrain; everything else has the
    names of mmseg's class, which therefore loads the weights of this one.

    Args:
        last_channels (int): Channels of the last layer: 1280 in
            `MobileNetV2 <https://arxiv.org/abs/1801.04381>`_, 512 in section
            3.4 of `Self-Supervised Learning with Fully Convolutional Networks
            <https://arxiv.org/abs/2012.10017>`_. Defaults to 512.
        out_indices (Sequence[int]): Stages 0 to 6 to return in addition to
            the last layer, which always comes last. Defaults to ().
        **kwargs: Of :class:`mmseg.models.MobileNetV2`.
    """

    def __init__(self,
                 last_channels: int = 512,
                 out_indices: Sequence[int] = (),
                 **kwargs: Any) -> None:
        super().__init__(out_indices=out_indices, **kwargs)
        self.conv2 = ConvModule(
            self.in_channels, last_channels, kernel_size=1,
            conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps (B, C, h, w) of ``out_indices``, then of the last layer."""
        x = self.conv1(images)
        outputs = []
        for i, name in enumerate(self.layers):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                outputs.append(x)
        return (*outputs, self.conv2(x))
