"""Take away what gives a puzzle's solution away without understanding.

Edges that continue from tile to tile are broken by cutting the tiles with a
gap (:func:`mmseg_ssl.methods.jigsaw.puzzle.place_patches`); brightness and
colour by what is here.
"""
import torch
from torch import Tensor

from mmseg_ssl.methods.jigsaw.puzzle import patch_size

EPSILON = 1e-5  # keeps even tiles finite


def normalize_tiles(puzzles: Tensor, grid: int) -> Tensor:
    """Give every channel of every tile mean 0 and standard deviation 1.

    Section 4.2 of `Unsupervised Learning of Visual Representations by Solving
    Jigsaw Puzzles <https://arxiv.org/abs/1603.09246>`_.

    Args:
        puzzles (Tensor): Shape (B, C, H, W), sides divisible by the grid.
        grid (int): Tiles along each side.

    Returns:
        Tensor: Same shape.
    """
    height, width = patch_size(puzzles.shape[-2:], grid)
    tiles = puzzles.reshape(*puzzles.shape[:2], grid, height, grid, width)
    variance, mean = torch.var_mean(
        tiles, dim=(3, 5), correction=0, keepdim=True)
    return ((tiles - mean) * (variance + EPSILON).rsqrt()).view_as(puzzles)


def drop_colour(images: Tensor,
                prob: float,
                generator: torch.Generator | None = None) -> Tensor:
    """Turn some images of a batch grey: each channel becomes their mean.

    Colour tells the place of a tile by chromatic aberration, the shift
    between channels that grows towards the borders of an image.

    Args:
        images (Tensor): Normalised, shape (B, C, H, W).
        prob (float): Share of grey images, in [0, 1].
        generator (torch.Generator, optional): Source of randomness, on the
            device of ``images``.

    Returns:
        Tensor: Same shape.
    """
    if prob == 0:
        return images
    grey = torch.rand(
        (len(images), 1, 1, 1), device=images.device,
        generator=generator) < prob
    return torch.where(grey, images.mean(dim=1, keepdim=True), images)
