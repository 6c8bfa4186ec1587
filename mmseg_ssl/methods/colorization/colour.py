"""Hue and chroma of colours, and colours from hue, chroma and grey."""
import math

import torch
from torch import Tensor


def hue_and_chroma(colours: Tensor) -> tuple[Tensor, Tensor]:
    """Convert RGB to the hue and the chroma of the HSV hexcone.

    Args:
        colours (Tensor): RGB in [0, 1], shape (..., 3).

    Returns:
        tuple[Tensor, Tensor]: Hue in turns, [0, 1), 0 for grey and for red;
        chroma, the largest less the smallest value, in [0, 1]. Both of shape
        (...).
    """
    red, green, blue = colours.unbind(dim=-1)
    largest = colours.amax(dim=-1)
    chroma = largest - colours.amin(dim=-1)
    divisor = torch.where(chroma > 0, chroma, 1)
    sixths = torch.where(
        largest == red, (green - blue) / divisor,
        torch.where(largest == green, 2 + (blue - red) / divisor,
                    4 + (red - green) / divisor))
    hue = (sixths / 6) % 1
    # Rounding may give 1.0 for a tiny negative hue.
    return torch.where((chroma > 0) & (hue < 1), hue, 0), chroma


def colour_of(hue: Tensor, chroma: Tensor, grey: Tensor) -> Tensor:
    """Find the colour with a given hue, chroma and mean over R, G and B.

    Args:
        hue (Tensor): In turns, any shape (...).
        chroma (Tensor): In [0, 1], shape (...).
        grey (Tensor): Mean of R, G and B, in [0, 1], shape (...).

    Returns:
        Tensor: RGB in [0, 1], shape (..., 3). What does not fit into that
        range is clipped, which changes the mean.
    """
    corners = hue.new_tensor([0, 2 / 3, 1 / 3])  # of R, G and B
    turned = (hue.unsqueeze(-1) + corners) % 1
    # the share of each primary: 1 around its corner, 0 opposite of it
    share = ((turned - 0.5).abs() * 6 - 1).clamp(0, 1)
    colours = chroma.unsqueeze(-1) * share
    shift = grey - colours.mean(dim=-1)
    return (colours + shift.unsqueeze(-1)).clamp(0, 1)


def histogram_bins(values: Tensor, num_bins: int) -> Tensor:
    """Number the bins that values in [0, 1] fall into; int64."""
    return (values * num_bins).long().clamp(0, num_bins - 1)


def median_of(histogram: Tensor) -> Tensor:
    """Median of histograms over [0, 1], linear inside its bin.

    Args:
        histogram (Tensor): Probabilities, shape (..., K).

    Returns:
        Tensor: Shape (...).
    """
    so_far = histogram.cumsum(dim=-1)
    bin_index = (so_far < 0.5).sum(dim=-1, keepdim=True).clamp(
        max=histogram.size(-1) - 1)
    inside = histogram.gather(-1, bin_index)
    below = so_far.gather(-1, bin_index) - inside
    share = ((0.5 - below) / inside.clamp(min=1e-12)).clamp(0, 1)
    return ((bin_index + share) / histogram.size(-1)).squeeze(-1)


def circular_mean(histogram: Tensor) -> tuple[Tensor, Tensor]:
    """Mean direction of histograms over a circle.

    Args:
        histogram (Tensor): Probabilities, shape (..., K).

    Returns:
        tuple[Tensor, Tensor]: Direction in turns, [0, 1), and how
        concentrated the histogram is, the length of the mean vector, in
        [0, 1]. Both of shape (...).
    """
    num_bins = histogram.size(-1)
    angle = (torch.arange(num_bins, device=histogram.device) +
             0.5) * (2 * math.pi / num_bins)
    x = (histogram * angle.cos().to(histogram)).sum(dim=-1)
    y = (histogram * angle.sin().to(histogram)).sum(dim=-1)
    direction = torch.atan2(y, x) / (2 * math.pi) % 1
    return torch.where(direction < 1, direction, 0), torch.hypot(x, y)
