"""The loss of colorization: histograms of hue and chroma."""
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_ssl.methods.colorization.colour import (
    histogram_bins,
    hue_and_chroma,
)


class ColourTargets(NamedTuple):
    """What is to be predicted at the pixels of each image."""

    hue: Tensor  # histogram of the window around a pixel, (B, P, K)
    chroma: Tensor  # the same of the chroma, (B, P, K)
    weight: Tensor  # chroma of the pixel itself, (B, P), in [0, 1]
    grey: Tensor  # mean of R, G and B of the pixel, (B, P), in [0, 1]


def colour_targets(images: Tensor, points: Tensor, num_bins: int,
                   window: int) -> ColourTargets:
    """Count the colours around pixels.

    Args:
        images (Tensor): RGB in [0, 1], shape (B, 3, H, W).
        points (Tensor): x and y of pixels, shape (B, P, 2), int64.
        num_bins (int): Bins of each histogram, K.
        window (int): Side of the square that is counted, odd; what lies
            outside the image is left out.

    Returns:
        ColourTargets: Histograms that add up to 1, and what weighs them.
    """
    height, width = images.shape[2:]
    reach = torch.arange(window, device=images.device) - window // 2
    x = (points[..., 0, None] + reach)[..., None, :]  # (B, P, 1, window)
    y = (points[..., 1, None] + reach)[..., :, None]  # (B, P, window, 1)
    inside = ((x >= 0) & (x < width) & (y >= 0) & (y < height)).flatten(2)
    image = torch.arange(len(images), device=images.device)
    colours = images[image[:, None, None, None], :,
                     y.clamp(0, height - 1), x.clamp(0, width - 1)]
    hue, chroma = hue_and_chroma(colours.flatten(2, 3))  # (B, P, window^2)

    count = inside.to(images)
    histograms = (torch.zeros(
        (*points.shape[:2], num_bins), dtype=images.dtype,
        device=images.device).scatter_add_(
            2, histogram_bins(values, num_bins), count) / count.sum(
                dim=2, keepdim=True) for values in (hue, chroma))
    centre = window**2 // 2
    return ColourTargets(*histograms, chroma[..., centre],
                         colours.flatten(2, 3)[:, :, centre].mean(dim=-1))


@MODELS.register_module()
class ColorHistogramLoss(nn.Module):
    """Divergence of predicted from true histograms of hue and chroma.

    The loss of `Learning Representations for Automatic Colorization
    <https://arxiv.org/abs/1603.06668>`_ (section 3.3): ``KL(chroma) +
    hue_weight * c * KL(hue)``, where c is the chroma of the pixel, since the
    hue of grey means nothing; the mean over all pixels.

    Args:
        hue_weight (float): Weight of the hue. Defaults to 5.0, about one over
            the mean chroma, so that both parts weigh the same.
        loss_weight (float): Factor of the loss. Defaults to 1.0.
        lightness_weight (bool): Whether KL(chroma) is weighted, too: by
            min(3 g, 1, 3 (1 - g)) for the mean g of R, G and B, as pixels
            close to black or white cannot have much chroma. The paper does
            not say so, the authors' ``train_vgg16.prototxt`` does it.
            Defaults to False.
    """

    def __init__(self, hue_weight: float = 5.0, loss_weight: float = 1.0,
                 lightness_weight: bool = False) -> None:
        super().__init__()
        self.hue_weight = hue_weight
        self.loss_weight = loss_weight
        self.lightness_weight = lightness_weight

    def forward(self, hue: Tensor, chroma: Tensor,
                targets: ColourTargets) -> dict[str, Tensor]:
        """Compute both parts.

        Args:
            hue (Tensor): Logits, shape (B, P, K).
            chroma (Tensor): Logits, shape (B, P, K).
            targets (ColourTargets): Of the same pixels.

        Returns:
            dict[str, Tensor]: ``loss_hue`` and ``loss_chroma``, scalars.

        Raises:
            ValueError: If predictions and targets differ in shape.
        """
        if not (hue.shape == chroma.shape == targets.hue.shape ==
                targets.chroma.shape):
            raise ValueError(
                'logits and histograms of hue and chroma must share their '
                f'shape (B, P, K), but got {tuple(hue.shape)}, '
                f'{tuple(chroma.shape)}, {tuple(targets.hue.shape)} and '
                f'{tuple(targets.chroma.shape)}')
        hue_part = targets.weight * _divergence(hue, targets.hue)
        chroma_part = _divergence(chroma, targets.chroma)
        if self.lightness_weight:
            distance = torch.minimum(targets.grey, 1 - targets.grey)
            chroma_part = (3 * distance).clamp(max=1) * chroma_part
        return dict(
            loss_hue=self.loss_weight * self.hue_weight * hue_part.mean(),
            loss_chroma=self.loss_weight * chroma_part.mean())


def _divergence(logits: Tensor, histogram: Tensor) -> Tensor:
    """Kullback-Leibler divergence from predictions, over the last axis."""
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    return F.kl_div(
        F.log_softmax(logits, dim=-1), histogram.to(logits.dtype),
        reduction='none').sum(dim=-1)
