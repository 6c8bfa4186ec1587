"""Hypercolumns: what all layers of a network say about a pixel.

`Hypercolumns for Object Segmentation and Fine-grained Localization
<https://arxiv.org/abs/1411.5752>`_, computed at a few pixels for training
and everywhere, tile by tile, for prediction, as in `Learning Representations
for Automatic Colorization <https://arxiv.org/abs/1603.06668>`_.
"""
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn


class CellGrid(NamedTuple):
    """Where the cells of a map lie: cell i at pixel offset + i * stride.

    The centre of the first pixel is 0. These are the strides and offsets of
    receptive fields, see ``tools/analysis_tools/receptive_field.py``.
    """

    stride: float
    offset: float


class Interpolation(NamedTuple):
    """Two neighbouring cells along an axis and the weight of the second."""

    low: Tensor
    high: Tensor
    weight: Tensor


def interpolation(pixels: Tensor, num_cells: int, num_pixels: int,
                  grid: CellGrid | None = None) -> Interpolation:
    """Find pixels between the cells of a map, along one axis.

    Args:
        pixels (Tensor): Pixel numbers of any shape.
        num_cells (int): Cells of the map along this axis.
        num_pixels (int): Pixels of the image along this axis.
        grid (CellGrid, optional): Where the cells lie. None stands for cells
            that share the image evenly, as when mmseg resizes a map.
            Defaults to None.

    Returns:
        Interpolation: Of the shape of ``pixels``. Beyond the outermost cells,
        these are taken.
    """
    pixels = pixels.float()
    if grid is None:
        position = (pixels + 0.5) * (num_cells / num_pixels) - 0.5
    else:
        position = (pixels - grid.offset) / grid.stride
    position = position.clamp(0, num_cells - 1)
    low = position.floor()
    return Interpolation(low.long(), (low.long() + 1).clamp(max=num_cells - 1),
                         position - low)


def sample_map(features: Tensor, points: Tensor, image_size: tuple[int, int],
               grid: CellGrid | None = None) -> Tensor:
    """Interpolate a map bilinearly at a few pixels.

    Args:
        features (Tensor): Shape (B, C, h, w).
        points (Tensor): x and y of pixels of each image, shape (B, P, 2).
        image_size (tuple[int, int]): Height and width of the images.
        grid (CellGrid, optional): See :func:`interpolation`.

    Returns:
        Tensor: Shape (B, P, C).
    """
    height, width = features.shape[2:]
    x = interpolation(points[..., 0], width, image_size[1], grid)
    y = interpolation(points[..., 1], height, image_size[0], grid)
    image = torch.arange(len(features), device=features.device)[:, None]
    # Indexing copies the cells asked for, whatever the memory format.
    top, bottom = (
        torch.lerp(features[image, :, row, x.low],
                   features[image, :, row, x.high],
                   x.weight[..., None].to(features.dtype))
        for row in (y.low, y.high))
    return torch.lerp(top, bottom, y.weight[..., None].to(features.dtype))


def _crop(axis: Interpolation) -> tuple[slice, Interpolation]:
    """Cells that are needed, and the interpolation between these."""
    first, last = int(axis.low[0]), int(axis.high[-1])
    return slice(first, last + 1), axis._replace(
        low=axis.low - first, high=axis.high - first)


def _interpolate(features: Tensor, y: Interpolation,
                 x: Interpolation) -> Tensor:
    """Interpolate (B, C, h, w) on all pairs of y and x: (B, C, H, W)."""
    device, dtype = features.device, features.dtype
    y, x = (Interpolation(*(part.to(device) for part in axis))
            for axis in (y, x))
    wide = torch.lerp(features[..., x.low], features[..., x.high],
                      x.weight.to(dtype))
    return torch.lerp(wide[:, :, y.low], wide[:, :, y.high],
                      y.weight.to(dtype)[:, None])


def tiles(height: int, width: int,
          side: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of square tiles that cover an area."""
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield (slice(top, min(top + side, height)),
                   slice(left, min(left + side, width)))


def draw_points(usable: Tensor, num_points: int) -> Tensor:
    """Draw pixels uniformly, with replacement.

    Args:
        usable (Tensor): Which pixels may be drawn, shape (B, H, W), bool. If
            an image has none, all may.
        num_points (int): Pixels of each image, P.

    Returns:
        Tensor: x and y, shape (B, P, 2), int64.
    """
    weight = usable.flatten(1)
    weight = weight | ~weight.any(dim=1, keepdim=True)
    # The k-th usable pixel is where the running count first exceeds k:
    # torch.multinomial takes at most 2^24 pixels.
    so_far = weight.cumsum(dim=1)
    rank = torch.rand(
        (len(weight), num_points), dtype=torch.float64, device=usable.device)
    rank = (rank * so_far[:, -1:]).long()
    pixel = torch.searchsorted(so_far, rank, right=True)
    width = usable.size(2)
    return torch.stack([pixel % width, pixel // width], dim=2)


def sample_hypercolumns(maps: Sequence[Tensor], points: Tensor,
                        image_size: tuple[int, int],
                        grids: Sequence[CellGrid] | None = None) -> Tensor:
    """Hypercolumns at a few pixels.

    Args:
        maps (Sequence[Tensor]): Each of shape (B, C_i, h_i, w_i).
        points (Tensor): x and y of pixels of each image, shape (B, P, 2).
        image_size (tuple[int, int]): Height and width of the images.
        grids (Sequence[CellGrid], optional): Where the cells of each map
            lie, see :func:`interpolation`.

    Returns:
        Tensor: Shape (B, P, sum of C_i).
    """
    return torch.cat([
        sample_map(features, points, image_size, grid)
        for features, grid in zip(maps, grids or [None] * len(maps))
    ], dim=2)


def dense_hypercolumns(maps: Sequence[Tensor],
                       image_size: tuple[int, int],
                       rows: slice, columns: slice,
                       grids: Sequence[CellGrid] | None = None) -> Tensor:
    """Hypercolumns of all pixels of a tile.

    Args:
        maps (Sequence[Tensor]): As for :func:`sample_hypercolumns`.
        image_size (tuple[int, int]): Height and width of the images.
        rows (slice): Rows of the tile.
        columns (slice): Columns of the tile.
        grids (Sequence[CellGrid], optional): As for
            :func:`sample_hypercolumns`.

    Returns:
        Tensor: Shape (B, sum of C_i, rows, columns).
    """
    pixel_y = torch.arange(image_size[0])[rows]
    pixel_x = torch.arange(image_size[1])[columns]
    columns_of_maps = []
    for features, grid in zip(maps, grids or [None] * len(maps)):
        crop_y, y = _crop(interpolation(
            pixel_y, features.size(2), image_size[0], grid))
        crop_x, x = _crop(interpolation(
            pixel_x, features.size(3), image_size[1], grid))
        columns_of_maps.append(
            _interpolate(features[:, :, crop_y, crop_x], y, x))
    return torch.cat(columns_of_maps, dim=1)


class HypercolumnProjection(BaseModule):
    """A linear layer on hypercolumns that are never put together.

    Interpolation and a linear layer may change places, so each map is
    projected at its own resolution and the results are added up: the same
    numbers as a linear layer on hypercolumns, at a fraction of the cost where
    maps are coarse and have many channels.

    Args:
        in_channels (Sequence[int]): Channels of each map.
        out_channels (int): Channels of the projection.
        grids (Sequence[tuple[float, float]], optional): Stride and offset of
            the cells of each map, see :class:`CellGrid`. Defaults to None:
            cells share the image evenly.
        tile (int): Side of the tiles in which :meth:`dense` goes over an
            image, in pixels. Bounds its memory. Defaults to 64.

    Raises:
        ValueError: If there is not one grid for each map.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 out_channels: int,
                 grids: Sequence[tuple[float, float]] | None = None,
                 tile: int = 64) -> None:
        super().__init__()
        if grids is not None and len(grids) != len(in_channels):
            raise ValueError(
                f'grids must hold a stride and an offset for each of the '
                f'{len(in_channels)} maps, but got {len(grids)}')
        self.grids = ([None] * len(in_channels) if grids is None else
                      [CellGrid(*grid) for grid in grids])
        self.out_channels = out_channels
        self.tile = tile
        self.levels = nn.ModuleList(
            nn.Conv2d(channels, out_channels, 1, bias=i == 0)
            for i, channels in enumerate(in_channels))

    def init_weights(self) -> None:
        """Kaiming's for one layer whose input are all channels together."""
        fan_in = sum(level.in_channels for level in self.levels)
        for level in self.levels:
            nn.init.normal_(level.weight, std=(2 / fan_in)**0.5)
        nn.init.zeros_(self.levels[0].bias)

    def at_points(self, maps: Sequence[Tensor], points: Tensor,
                  image_size: tuple[int, int]) -> Tensor:
        """Project the hypercolumns of a few pixels.

        Args:
            maps (Sequence[Tensor]): Each of shape (B, C_i, h_i, w_i).
            points (Tensor): x and y of pixels, shape (B, P, 2).
            image_size (tuple[int, int]): Height and width of the images.

        Returns:
            Tensor: Shape (B, out_channels, P).
        """
        projected = sum(
            F.linear(sample_map(features, points, image_size, grid),
                     level.weight.flatten(1), level.bias)
            for level, features, grid in zip(self.levels, maps, self.grids))
        return projected.transpose(1, 2)

    def on_tile(self, maps: Sequence[Tensor], pixel_y: Tensor,
                pixel_x: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Project the hypercolumns of a lattice of pixels.

        Args:
            maps (Sequence[Tensor]): As for :meth:`at_points`.
            pixel_y (Tensor): Ascending rows, shape (H,), on the CPU.
            pixel_x (Tensor): Ascending columns, shape (W,), on the CPU.
            image_size (tuple[int, int]): Height and width of the images.

        Returns:
            Tensor: Shape (B, out_channels, H, W).
        """
        total = None
        for level, features, grid in zip(self.levels, maps, self.grids):
            crop_y, y = _crop(interpolation(
                pixel_y, features.size(2), image_size[0], grid))
            crop_x, x = _crop(interpolation(
                pixel_x, features.size(3), image_size[1], grid))
            part = _interpolate(level(features[:, :, crop_y, crop_x]), y, x)
            total = part if total is None else total.add_(part)
        return total

    def dense(self, maps: Sequence[Tensor], image_size: tuple[int, int],
              step: int = 1) -> Iterator[tuple[slice, slice, Tensor]]:
        """Project the hypercolumns of a whole image, tile by tile.

        Args:
            maps (Sequence[Tensor]): As for :meth:`at_points`.
            image_size (tuple[int, int]): Height and width of the images.
            step (int): Take every step-th row and column, in the middle of
                each square of ``step`` pixels. Defaults to 1.

        Yields:
            tuple[slice, slice, Tensor]: Rows and columns of the result, and
            their projection, shape (B, out_channels, rows, columns).
        """
        pixel_y, pixel_x = (
            (torch.arange(-(-size // step)) * step + (step - 1) / 2).clamp(
                max=size - 1) for size in image_size)
        for rows, columns in tiles(len(pixel_y), len(pixel_x), self.tile):
            yield rows, columns, self.on_tile(maps, pixel_y[rows],
                                              pixel_x[columns], image_size)
