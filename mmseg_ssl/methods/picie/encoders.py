"""Networks that give each pixel a feature vector."""
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, OptConfigType
from torch import Tensor, nn

from mmseg_ssl.engine.hooks.preflight_hook import compare_weights


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
            ``encoder.`` of another checkpoint, which must fit in every
            tensor.
    """

    def __init__(self,
                 backbone: ConfigType,
                 neck: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck is not None else None

    def init_weights(self) -> None:
        """Initialise the weights.

        Raises:
            ValueError: Those of a checkpoint are of another encoder.
        """
        if isinstance(self.init_cfg, dict) and (
                self.init_cfg['type'] == 'Pretrained'):
            self._check_weights(**self.init_cfg)
        super().init_weights()

    def _check_weights(self, checkpoint: str, prefix: str | None = None,
                       **kwargs: str) -> None:
        """Compare names and shapes with those of a checkpoint.

        What does not fit would keep random values, and mmengine only logs it.
        """
        prefix = f'{prefix.rstrip(".")}.' if prefix else ''
        state = CheckpointLoader.load_checkpoint(
            checkpoint, map_location='cpu')
        state = state.get('state_dict', state)
        mismatch = compare_weights(self, {
            name.removeprefix(prefix): value for name, value in state.items()
            if name.startswith(prefix)})
        if any(mismatch):
            raise ValueError(
                f'the weights {prefix!r} in {checkpoint} do not fit this '
                f'{type(self).__name__}:\n{mismatch.describe()}\n'
                'Use the encoder of the config that they were trained with')

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D, h, w) of images (B, 3, H, W)."""
        features = self.backbone(images)
        return features[-1] if self.neck is None else self.neck(features)


@MODELS.register_module()
class EncoderBackbone(BaseModule):
    """A pixel encoder as the backbone of a segmentor that learns classes.

    For ``mmseg.EncoderDecoder`` with a 1x1 convolution as its head
    (``FCNHead`` with ``num_convs=0``): frozen, the encoder is probed for what
    its features tell about classes; else it is fine-tuned with them.

    Args:
        encoder (dict): Config of a :class:`PixelEncoder`, with its
            ``init_cfg``.
        frozen (bool): Leave the encoder as it is, in evaluation mode and
            without gradients. Defaults to False.
        init_cfg (dict, optional): Initialisation.
    """

    def __init__(self,
                 encoder: ConfigType,
                 frozen: bool = False,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg)
        self.encoder = MODELS.build(encoder)
        self.frozen = frozen
        self.encoder.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> 'EncoderBackbone':
        """Set the mode, which a frozen encoder does not follow."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """One level: features (B, D, h, w) of images (B, 3, H, W)."""
        with torch.set_grad_enabled(
                torch.is_grad_enabled() and not self.frozen):
            return (self.encoder(images), )


@MODELS.register_module()
class RawPixels(BaseModule):
    """The image itself as features: the baseline of clustered colours."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the images (B, 3, H, W) as they are."""
        return images
