"""AlexNet as Caffe defined it, fully convolutional."""
from collections.abc import Sequence
from itertools import pairwise

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, OptConfigType
from torch import Tensor, nn

LAYERS = ('conv1', 'pool1', 'conv2', 'pool2', 'conv3', 'conv4', 'conv5',
          'pool5', 'fc6', 'fc7')
GROUPS = (1, 2, 1, 2, 2)
KERNELS = (11, 5, 3, 3, 3)


@MODELS.register_module()
class CaffeAlexNet(BaseModule):
    """AlexNet with grouped convolutions, fully convolutional up to fc7.

    The network of `ImageNet Classification with Deep Convolutional Neural
    Networks <https://doi.org/10.1145/3065386>`_ in the layout of Caffe's
    reference model, which self-supervised learning compares itself on: 96,
    256, 384, 384 and 256 channels, pooling that rounds up, local response
    normalisation behind the first two poolings, and fully connected layers
    as convolutions.

    Weights are named as in Caffe: ``conv1`` to ``conv5``, ``fc6`` and ``fc7``
    with ``weight`` and ``bias`` in Caffe's shapes (``fc6`` as 4096 x 256 x 6
    x 6). With batch norm there is ``bn1`` to ``bn7`` behind each of them and
    no bias: subtract Caffe's bias from the running mean.

    Args:
        in_channels (int): 3, or 1 for a network that sees grey: colour images
            are averaged over their channels. Defaults to 3.
        channels (Sequence[int]): Of the five convolutions; even, as there
            are groups. Defaults to (96, 256, 384, 384, 256).
        fc_channels (int): Of fc6 and fc7. Defaults to 4096.
        out_layers (Sequence[str]): What to return, of ``conv1``, ``pool1``,
            ``conv2``, ``pool2``, ``conv3``, ``conv4``, ``conv5``, ``pool5``,
            ``fc6``, ``fc7``, each behind its ReLU or normalisation, in this
            order. Layers behind the last one do not exist.
            Defaults to ('fc7', ).
        stem_stride (int): Of conv1; 2 gives small tiles larger maps.
            Defaults to 4.
        stem_padding (int): Of conv1, in pixels; 98 lets the cells of fc7
            share the image evenly if its sides are multiples of 32. FCN-32s
            has 100 and crops. Defaults to 0.
        norm_cfg (dict, optional): Norm behind every convolution.
            Defaults to None.
        lrn (bool): Whether there is local response normalisation; networks
            with batch norm usually have none. Defaults to True.
        dropout_ratio (float): Of the values of fc6 and fc7, each on its own
            as in Caffe. Defaults to 0.5.
        init_cfg (dict | list[dict], optional): Defaults to Kaiming's.

    Raises:
        ValueError: If ``out_layers`` is empty, names an unknown layer or is
            out of order, or ``in_channels`` is neither 1 nor 3.
    """

    def __init__(self,
                 in_channels: int = 3,
                 channels: Sequence[int] = (96, 256, 384, 384, 256),
                 fc_channels: int = 4096,
                 out_layers: Sequence[str] = ('fc7', ),
                 stem_stride: int = 4,
                 stem_padding: int = 0,
                 norm_cfg: OptConfigType = None,
                 lrn: bool = True,
                 dropout_ratio: float = 0.5,
                 init_cfg: ConfigType | list[ConfigType] | None = None
                 ) -> None:
        super().__init__(init_cfg or [
            dict(type='Kaiming', layer='Conv2d'),
            dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm'])
        ])
        if in_channels not in (1, 3):
            raise ValueError('in_channels must be 3, or 1 for grey, but got '
                             f'{in_channels}')
        self.in_channels = in_channels
        self.out_layers = _checked_layers(out_layers)
        self._names = LAYERS[:LAYERS.index(out_layers[-1]) + 1]
        self._norm_cfg = norm_cfg
        strides = (stem_stride, 1, 1, 1, 1)
        paddings = (stem_padding, 2, 1, 1, 1)
        for k, (before, after) in enumerate(
                pairwise((in_channels, *channels)), start=1):
            self._add_conv(f'conv{k}', nn.Conv2d(
                before, after, KERNELS[k - 1], strides[k - 1],
                paddings[k - 1], groups=GROUPS[k - 1],
                bias=norm_cfg is None))
        for name, before, kernel in (('fc6', channels[-1], 6),
                                     ('fc7', fc_channels, 1)):
            self._add_conv(name, nn.Conv2d(
                before, fc_channels, kernel, bias=norm_cfg is None))
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.lrn = nn.LocalResponseNorm(
            5, alpha=1e-4, beta=0.75) if lrn else nn.Identity()
        self.dropout = nn.Dropout(dropout_ratio)

    def _add_conv(self, name: str, conv: nn.Conv2d) -> None:
        """Add a convolution and its norm, unless nothing asks for it."""
        if name not in self._names:
            return
        self.add_module(name, conv)
        if self._norm_cfg is not None:
            _, norm = build_norm_layer(self._norm_cfg, conv.out_channels)
            self.add_module(f'bn{name[-1]}', norm)

    def _run_conv(self, name: str, x: Tensor) -> Tensor:
        x = getattr(self, name)(x)
        if self._norm_cfg is not None:
            x = getattr(self, f'bn{name[-1]}')(x)
        return self.relu(x)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of ``out_layers``.

        Args:
            images (Tensor): Shape (B, 3, H, W), or (B, 1, H, W) if
                ``in_channels`` is 1.

        Returns:
            tuple[Tensor, ...]: Each of shape (B, C, h, w).
        """
        x = images
        if self.in_channels == 1 and x.size(1) > 1:
            x = x.mean(dim=1, keepdim=True)
        outputs = []
        for name in self._names:
            if name.startswith('pool'):
                x = self.pool(x)
                if name != 'pool5':
                    x = self.lrn(x)
            else:
                x = self._run_conv(name, x)
            if name.startswith('fc'):
                x = self.dropout(x)
            if name in self.out_layers:
                outputs.append(x)
        return tuple(outputs)


def _checked_layers(names: Sequence[str]) -> tuple[str, ...]:
    in_order = [name for name in LAYERS if name in names]
    if not names or list(names) != in_order:
        raise ValueError(
            f'out_layers must name layers of {LAYERS} in this order, but got '
            f'{tuple(names)}')
    return tuple(names)
