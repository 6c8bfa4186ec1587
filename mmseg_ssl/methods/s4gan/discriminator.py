"""Tell true label maps of an image from predicted ones."""
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.utils import OptConfigType
from torch import Tensor, nn

NUM_LAYERS = 4
MIN_SIDE = 2**NUM_LAYERS


class Judgement(NamedTuple):
    """What a discriminator makes of a batch."""

    logits: Tensor  # (B,), > 0 where the label map looks true
    features: Tensor  # (B, 8 * channels), of the last convolution


@MODELS.register_module()
class ImageDiscriminator(BaseModule):
    """Judge a soft label map together with its image.

    The image-conditioned discriminator of `Semi-Supervised Semantic
    Segmentation with High- and Low-level Consistency
    <https://arxiv.org/abs/1908.05724>`_ (S4GAN branch): four 4x4 convolutions
    of stride 2 with leaky ReLU and channel dropout, global average pooling
    and a linear layer.

    Args:
        num_classes (int): Channels of the label map, C.
        channels (int): Channels of the first convolution; each further one
            doubles them. Defaults to 64.
        dropout_ratio (float): Probability that a channel behind a convolution
            is dropped in training. Defaults to 0.5.
        init_cfg (dict, optional): Initialisation. Defaults to None, which is
            PyTorch's.
    """

    def __init__(self,
                 num_classes: int,
                 channels: int = 64,
                 dropout_ratio: float = 0.5,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg)
        self.num_classes = num_classes
        widths = [channels * 2**i for i in range(NUM_LAYERS)]
        layers: list[nn.Module] = []
        for in_channels, out_channels in zip([3 + num_classes, *widths],
                                             widths):
            layers += [
                ConvModule(
                    in_channels, out_channels, 4, stride=2, padding=1,
                    act_cfg=dict(type='LeakyReLU', negative_slope=0.2)),
                nn.Dropout2d(dropout_ratio)
            ]
        # The features are compared, so nothing is dropped behind the last.
        self.convs = nn.Sequential(*layers[:-1])
        self.classifier = nn.Linear(widths[-1], 1)

    def forward(self, images: Tensor, label_maps: Tensor) -> Judgement:
        """Judge label maps.

        Args:
            images (Tensor): As the segmentation network receives them, shape
                (B, 3, H, W), H and W at least 16.
            label_maps (Tensor): Class probabilities, shape (B, C, H, W).

        Returns:
            Judgement: Logits (B,) and features (B, 8 * channels).

        Raises:
            ValueError: The shapes do not belong together, or are too small.
        """
        self._check_shapes(images, label_maps)
        pairs = torch.cat([images, label_maps.to(images.dtype)], dim=1)
        features = self.convs(pairs).mean(dim=(2, 3))
        return Judgement(self.classifier(features).squeeze(1), features)

    def _check_shapes(self, images: Tensor, label_maps: Tensor) -> None:
        expected = (images.size(0), self.num_classes, *images.shape[2:])
        if tuple(label_maps.shape) != expected or images.size(1) != 3:
            raise ValueError(
                'the discriminator takes images (B, 3, H, W) and label maps '
                f'(B, {self.num_classes}, H, W) of one size, but got '
                f'{tuple(images.shape)} and {tuple(label_maps.shape)}')
        self.check_size(images.shape[2:])

    @staticmethod
    def check_size(size: Sequence[int]) -> None:
        """Refuse images that nothing would be left of.

        Args:
            size (Sequence[int]): Height and width.

        Raises:
            ValueError: A side is below 16 pixels.
        """
        if min(size) < MIN_SIDE:
            raise ValueError(
                'the discriminator halves its input four times, so both '
                f'sides need at least {MIN_SIDE} pixels, but got '
                f'{tuple(size)}: use a larger crop_size')
