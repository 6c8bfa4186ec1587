"""Colorization: learn features by guessing colours from grey."""
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel, BaseModule
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.utils import (
    ConfigType,
    OptConfigType,
    OptSampleList,
    SampleList,
)
from torch import Tensor, nn

from mmseg_ssl.backbones.hypercolumn import (
    HypercolumnProjection,
    draw_points,
)
from mmseg_ssl.datasets.padding import padding_mask
from mmseg_ssl.methods.colorization.color_histogram_loss import colour_targets
from mmseg_ssl.methods.colorization.colour import (
    circular_mean,
    colour_of,
    median_of,
)
from mmseg_ssl.methods.colorization.illustration import illustrate_colours
from mmseg_ssl.visualization.panels import Illustration

# Chroma is faded where the mean of p_k exp(i hue_k), a mean over K bins, is
# shorter than this; with 32 bins, where their sum is shorter than 0.96.
FADING = 0.03


@MODELS.register_module()
class ColorizationHead(BaseModule):
    """Histograms of hue and chroma from hypercolumns.

    Args:
        in_channels (Sequence[int]): Channels of each map of the backbone.
        channels (int): Of the hidden layer. Defaults to 1024.
        num_bins (int): Bins of each histogram, K. Defaults to 32, as in the
            paper for marginal distributions.
        grids (Sequence[tuple[float, float]], optional): Stride and offset of
            each map, see :class:`HypercolumnProjection`. Defaults to None.
        tile (int): Side of the tiles of a prediction. Defaults to 64.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 channels: int = 1024,
                 num_bins: int = 32,
                 grids: Sequence[tuple[float, float]] | None = None,
                 tile: int = 64) -> None:
        super().__init__(dict(type='Normal', std=0.01, layer='Conv2d'))
        self.num_bins = num_bins
        self.projection = HypercolumnProjection(in_channels, channels, grids,
                                                tile)
        self.histograms = nn.Conv2d(channels, 2 * num_bins, 1)

    def at_points(self, maps: Sequence[Tensor], points: Tensor,
                  image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Logits of hue and chroma, each of shape (B, P, K)."""
        hidden = self.projection.at_points(maps, points, image_size)
        logits = self.histograms(hidden.relu().unsqueeze(3)).squeeze(3)
        hue, chroma = logits.transpose(1, 2).split(self.num_bins, dim=2)
        return hue, chroma

    def dense(self, maps: Sequence[Tensor],
              image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Hue and chroma of every pixel, each of shape (B, H, W).

        Hue is the mean direction, chroma the median, faded where the hue is
        undecided (section 3.4 of the paper). The histograms of a tile exist
        only while it is looked at.
        """
        hue = maps[0].new_empty((len(maps[0]), *image_size))
        chroma = torch.empty_like(hue)
        for rows, columns, hidden in self.projection.dense(maps, image_size):
            both = self.histograms(hidden.relu()).permute(0, 2, 3, 1)
            of_hue, of_chroma = (part.float().softmax(dim=-1)
                                 for part in both.split(self.num_bins, -1))
            direction, concentration = circular_mean(of_hue)
            fading = (concentration / (FADING * self.num_bins)).clamp(max=1)
            hue[:, rows, columns] = direction.to(hue)
            chroma[:, rows, columns] = (median_of(of_chroma) *
                                        fading).to(hue)
        return hue, chroma


@MODELS.register_module()
class Colorization(BaseModel):
    """Train a backbone by predicting colours of grey images.

    `Learning Representations for Automatic Colorization
    <https://arxiv.org/abs/1603.06668>`_ and `Colorization as a Proxy Task for
    Visual Understanding <https://arxiv.org/abs/1703.04044>`_. The network
    sees the mean of R, G and B; a backbone for colour images sees it three
    times, so that the next stage can use it for colour images. No labels are
    needed. The next stage takes the backbone over by its name, ``backbone``.

    .. code:: text

     loss(): split_colours() -> grey input, RGB
             backbone on grey -> hypercolumns at a few pixels -> histograms
             colour_targets() of RGB at the same pixels -> loss
     predict(): tile by tile -> hue, chroma + grey -> ``colorized``

    Args:
        backbone (dict): Config of a backbone; all maps it returns are used.
        head (dict): Config of :class:`ColorizationHead`.
        num_points (int): Pixels of each image to train on, drawn uniformly.
            Defaults to 128, as in the first paper (section 3.5; the authors'
            ``train_vgg16.prototxt`` keeps 96 pixels away from the borders of
            crops of 352).
        window (int): Side of the square whose colours are the target, odd.
            Defaults to 7, as in that file; the paper sees no benefit and
            takes 1.
        loss_color (dict, optional): Config of the loss. Defaults to
            ``dict(type='ColorHistogramLoss')``.
        data_preprocessor (dict, optional): Defaults to None.
        init_cfg (dict, optional): Initialisation. Defaults to None.

    Raises:
        ValueError: If ``window`` is even or ``num_points`` below 1.
    """

    def __init__(self,
                 backbone: ConfigType,
                 head: ConfigType,
                 num_points: int = 128,
                 window: int = 7,
                 loss_color: OptConfigType = None,
                 data_preprocessor: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if window % 2 == 0 or num_points < 1:
            raise ValueError('window must be odd and num_points at least 1, '
                             f'but got {window} and {num_points}')
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        self.num_points = num_points
        self.window = window
        self.loss_color = MODELS.build(
            loss_color or dict(type='ColorHistogramLoss'))

    def forward(self,
                inputs: Tensor,
                data_samples: OptSampleList = None,
                mode: str = 'tensor') -> Any:
        """Train, colour or extract features.

        Args:
            inputs (Tensor): Normalised colour images, shape (B, 3, H, W).
            data_samples (list[SegDataSample], optional): Their samples.
            mode (str): 'loss', 'predict' or 'tensor'.

        Returns:
            dict[str, Tensor] | list[SegDataSample] | tuple[Tensor]: Losses;
            samples with ``colorized``; or the maps of the backbone.

        Raises:
            ValueError: For any other mode.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.extract_feat(inputs)
        raise ValueError(
            f"mode must be 'loss', 'predict' or 'tensor', but got {mode!r}")

    def extract_feat(self, inputs: Tensor) -> Sequence[Tensor]:
        """Maps of the backbone for the grey version of images."""
        grey = inputs.mean(dim=1, keepdim=True).expand_as(inputs)
        maps = self.backbone(grey)
        return (maps, ) if isinstance(maps, Tensor) else maps

    def loss(self, inputs: Tensor,
             data_samples: SampleList) -> dict[str, Tensor]:
        """Losses at a few pixels of each image.

        Args:
            inputs (Tensor): Normalised colour images, shape (B, 3, H, W).
            data_samples (list[SegDataSample]): Say what is padding.

        Returns:
            dict[str, Tensor]: ``loss_hue`` and ``loss_chroma``; for the log
            ``mean_chroma``, by which the hue is weighted.
        """
        size = tuple(inputs.shape[2:])
        points = draw_points(~padding_mask(data_samples, inputs),
                             self.num_points)
        targets = colour_targets(self.colours(inputs), points,
                                 self.head.num_bins, self.window)
        hue, chroma = self.head.at_points(
            self.extract_feat(inputs), points, size)
        losses = self.loss_color(hue, chroma, targets)
        return dict(losses, mean_chroma=targets.weight.mean())

    def colours(self, inputs: Tensor) -> Tensor:
        """Undo the normalisation: RGB in [0, 1], of the inputs' shape."""
        preprocessor = self.data_preprocessor
        images = inputs
        if getattr(preprocessor, '_enable_normalize', False):
            images = images * preprocessor.std + preprocessor.mean
        # upstream mmseg has the name without the underscore
        converted = getattr(
            preprocessor, '_channel_conversion',
            getattr(preprocessor, 'channel_conversion', False))
        if not converted:  # files are read as BGR
            images = images.flip(1)
        return (images / 255).clamp(0, 1)

    @torch.no_grad()
    def predict(self, inputs: Tensor,
                data_samples: OptSampleList = None) -> SampleList:
        """Colour images.

        Args:
            inputs (Tensor): Normalised images, shape (B, 3, H, W); only their
                grey version is looked at.
            data_samples (list[SegDataSample]): Their samples.

        Returns:
            list[SegDataSample]: With ``colorized``, RGB in [0, 1], ``data``
            of shape (3, H, W).
        """
        size = tuple(inputs.shape[2:])
        hue, chroma = self.head.dense(self.extract_feat(inputs), size)
        grey = self.colours(inputs).mean(dim=1)
        colours = colour_of(hue, chroma, grey).permute(0, 3, 1, 2)
        for sample, image in zip(data_samples, colours):
            sample.set_data(dict(colorized=PixelData(data=image)))
        return data_samples

    def illustrate(self, dataset: Sequence[dict[str, Any]],
                   num: int) -> Illustration:
        """Show what it colours; see :func:`illustrate_colours`."""
        return illustrate_colours(self, dataset, num)
