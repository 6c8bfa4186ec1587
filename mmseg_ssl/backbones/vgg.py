"""VGG whose convolutions can all be looked into."""
from collections.abc import Sequence

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, OptConfigType
from torch import Tensor, nn


@MODELS.register_module()
class LayeredVGG(BaseModule):
    """mmpretrain's VGG that returns any of its layers, and fc6 and fc7.

    `Very Deep Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_ for hypercolumns: layers are called as
    in Caffe's model, ``conv1_1`` to ``conv5_3``, ``pool1`` to ``pool5``,
    ``fc6`` and ``fc7``; :attr:`layers` says which module of ``vgg.features``
    each of them is. fc6 and fc7 are convolutions on pool5 at the same stride;
    fc6 (4096 x 512 x 7 x 7) is padded by 3 cells.

    Args:
        depth (int): 11, 13, 16 or 19. Defaults to 16.
        in_channels (int): 3, or 1 for a network that sees grey: colour images
            are averaged over their channels. Defaults to 3.
        out_layers (Sequence[str]): What to return, in the order of the
            network. fc6 and fc7 exist only if something asks for them.
            Defaults to ('pool5', ).
        fc_channels (int): Of fc6 and fc7. Defaults to 4096.
        norm_cfg (dict, optional): Norm behind every convolution.
            Defaults to None.
        dropout_ratio (float): Of the values of fc6 and fc7, each on its own
            as in Caffe. Defaults to 0.5.
        init_cfg (dict | list[dict], optional): Defaults to Kaiming's.

    Raises:
        ValueError: If ``out_layers`` is empty, names an unknown layer or is
            out of order, or ``in_channels`` is neither 1 nor 3.
    """

    def __init__(self,
                 depth: int = 16,
                 in_channels: int = 3,
                 out_layers: Sequence[str] = ('pool5', ),
                 fc_channels: int = 4096,
                 norm_cfg: OptConfigType = None,
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
        self.vgg = MODELS.build(dict(
            type='mmpretrain.VGG', depth=depth, norm_cfg=norm_cfg,
            init_cfg=None))
        if in_channels == 1:
            first = self.vgg.features[0].conv
            self.vgg.features[0].conv = nn.Conv2d(
                1, first.out_channels, 3, padding=1, bias=first.bias
                is not None)
        #: where in ``vgg.features`` each layer up to pool5 stands
        self.layers = self._name_layers()
        self.out_layers = self._checked_layers(out_layers)
        if self.out_layers[-1] in ('fc6', 'fc7'):
            self.fc6 = ConvModule(
                512, fc_channels, 7, padding=3, norm_cfg=norm_cfg)
        if self.out_layers[-1] == 'fc7':
            self.fc7 = ConvModule(fc_channels, fc_channels, 1,
                                  norm_cfg=norm_cfg)
        self.dropout = nn.Dropout(dropout_ratio)

    def _name_layers(self) -> dict[str, int]:
        layers = {}
        block = number = 1
        for index, module in enumerate(self.vgg.features):
            if isinstance(module, nn.MaxPool2d):
                layers[f'pool{block}'] = index
                block, number = block + 1, 1
            else:
                layers[f'conv{block}_{number}'] = index
                number += 1
        return layers

    def _checked_layers(self, names: Sequence[str]) -> tuple[str, ...]:
        known = (*self.layers, 'fc6', 'fc7')
        in_order = [name for name in known if name in names]
        if not names or list(names) != in_order:
            raise ValueError(f'out_layers must name layers of {known} in this '
                             f'order, but got {tuple(names)}')
        return tuple(names)

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
        last = self.out_layers[-1]
        for name, index in self.layers.items():
            x = self.vgg.features[index](x)
            if name in self.out_layers:
                outputs.append(x)
            if name == last:
                return tuple(outputs)
        for name in ('fc6', 'fc7'):
            x = self.dropout(getattr(self, name)(x))
            if name in self.out_layers:
                outputs.append(x)
            if name == last:
                break
        return tuple(outputs)
