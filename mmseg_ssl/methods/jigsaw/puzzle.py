"""Jigsaw puzzles of whole batches: cut, shuffle, put back, pool by patch.

Patches are numbered row by row from the top left; the central patch never
moves and serves as the reference (section 3.3 of `Self-Supervised Learning
with Fully Convolutional Networks <https://arxiv.org/abs/2012.10017>`_).
"""
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_ssl.sampling import sampling_dtype


def patch_size(image_size: Sequence[int], grid: int) -> tuple[int, int]:
    """Height and width of one patch in pixels.

    Args:
        image_size (Sequence[int]): Height and width of the image.
        grid (int): Patches along each side, odd so that there is a centre.

    Raises:
        ValueError: If the grid is even, has a single patch, or does not fit
            into the image.
    """
    if grid < 3 or grid % 2 == 0:
        raise ValueError('grid must be odd (the central patch stays) and at '
                         f'least 3, but got {grid}')
    height, width = image_size
    if min(height, width) < grid:
        raise ValueError(
            f'an image of {height}x{width} pixels cannot be cut into '
            f'{grid}x{grid} patches; use a larger crop or a smaller grid')
    return height // grid, width // grid


def random_positions(batch_size: int,
                     grid: int,
                     device: torch.device | str = 'cpu',
                     generator: torch.Generator | None = None) -> Tensor:
    """Independent uniform permutations that keep the centre in place.

    Returns:
        Tensor: Shape (B, grid * grid), int64, each row a permutation.
    """
    num_movable = grid * grid - 1
    noise = torch.rand((batch_size, num_movable),
                       dtype=sampling_dtype(torch.device(device)),
                       device=device, generator=generator)
    order = noise.argsort(dim=1)
    centre = num_movable // 2
    order += order >= centre  # movable patches are all but the centre
    fixed = order.new_full((batch_size, 1), centre)
    return torch.cat([order[:, :centre], fixed, order[:, centre:]], dim=1)


def shuffle_patches(
        images: Tensor,
        grid: int,
        generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Cut images into patches and shuffle all but the central one.

    Sides that the grid does not divide are cut at the right and bottom to
    ``grid * (side // grid)``. Samples are shuffled independently.

    Args:
        images (Tensor): Shape (B, C, H, W), any dtype.
        grid (int): Patches along each side, odd.
        generator (torch.Generator, optional): Source of randomness, on the
            device of ``images``.

    Returns:
        tuple[Tensor, Tensor]: Shuffled images, shape (B, C, H', W'), and
        ``position``, shape (B, grid * grid), int64: patch k of the output
        was cut from cell ``position[:, k]`` of the grid.

    Raises:
        ValueError: If the grid is even or does not fit into the images.
    """
    patch_size(images.shape[-2:], grid)
    position = random_positions(len(images), grid, images.device, generator)
    return place_patches(images, position, grid), position


def restore_patches(shuffled: Tensor, position: Tensor, grid: int) -> Tensor:
    """Put patches back, the inverse of :func:`shuffle_patches`.

    Args:
        shuffled (Tensor): Shape (B, C, H', W').
        position (Tensor): Cell of each patch, true or predicted as long as
            each row is a permutation, shape (B, grid * grid), int64.
        grid (int): Patches along each side, odd.

    Returns:
        Tensor: Shape (B, C, H', W').
    """
    return place_patches(shuffled, position.argsort(dim=1), grid)


def random_shifts(batch_size: int,
                  grid: int,
                  gap: int,
                  device: torch.device | str = 'cpu',
                  generator: torch.Generator | None = None) -> Tensor:
    """Where tiles, ``gap`` pixels smaller than their cells, are cut.

    Returns:
        Tensor: Rows and columns below and right of the cell's corner, uniform
        in [0, gap], shape (B, grid * grid, 2), int64.
    """
    return torch.randint(
        gap + 1, (batch_size, grid * grid, 2), device=device,
        generator=generator)


def place_patches(images: Tensor,
                  source: Tensor,
                  grid: int,
                  gap: int = 0,
                  shift: Tensor | None = None) -> Tensor:
    """Fill cell k of the grid from cell ``source[:, k]``.

    Args:
        images (Tensor): Shape (B, C, H, W), any dtype.
        source (Tensor): Shape (B, grid * grid), int64.
        grid (int): Patches along each side.
        gap (int): Pixels by which a tile is smaller than the cell it is cut
            from, along each side. Defaults to 0.
        shift (Tensor, optional): From :func:`random_shifts`, by cell of the
            source. Defaults to None, tiles from the middle of their cells.

    Returns:
        Tensor: Shape (B, C, grid * h, grid * w) for tiles of h x w pixels,
        ``grid * (side // grid - gap)``.

    Raises:
        ValueError: If the grid does not fit or the gap leaves no tile.
    """
    # Rows of tiles, contiguous in memory, are copied whole and only once. To
    # cut sides without a copy of their own, rows are taken from the
    # overlapping windows that start at every pixel.
    cell_height, cell_width = _cell_size(images, grid, gap)
    height, width = cell_height - gap, cell_width - gap
    images = images.contiguous()
    num_images, channels, full_height, full_width = images.shape
    planes = torch.arange(num_images * channels, device=images.device)
    planes = planes.view(num_images, channels, 1, 1, 1)
    line = torch.arange(height, device=images.device).view(1, 1, 1, -1, 1)
    top = source // grid * cell_height
    left = source % grid * cell_width
    if shift is None:
        top, left = top + gap // 2, left + gap // 2
    else:
        shift = shift.gather(1, source.unsqueeze(2).expand(-1, -1, 2))
        top, left = top + shift[..., 0], left + shift[..., 1]
    top, left = (x.view(num_images, 1, grid, 1, grid) for x in (top, left))
    start = (planes * full_height + top + line) * full_width + left
    windows = images.as_strided((images.numel() - width + 1, width), (1, 1))
    rows = windows.index_select(0, start.flatten())
    return rows.view(num_images, channels, grid * height, grid * width)


def _cell_size(images: Tensor, grid: int, gap: int) -> tuple[int, int]:
    """Height and width of the cells that tiles are cut from."""
    cell = patch_size(images.shape[-2:], grid)
    if not 0 <= gap < min(cell):
        raise ValueError(
            f'a gap of {gap} pixels leaves nothing of patches of '
            f'{cell[0]}x{cell[1]} pixels; it must be at least 0 and smaller '
            'than a patch')
    return cell


def patch_of_cells(num_cells: int, num_pixels: int, grid: int, stride: int,
                   offset: float) -> list[int | None]:
    """Find the patch in which each feature cell is centred, along one axis.

    Pixels have their centres at whole numbers, so patch p reaches from
    ``p * size - 0.5`` to ``(p + 1) * size - 0.5``.

    Args:
        num_cells (int): Feature cells along the axis.
        num_pixels (int): Pixels of the network's input along the axis.
        grid (int): Patches along the axis.
        stride (int): Pixels from cell to cell.
        offset (float): Centre of the receptive field of the first cell.

    Returns:
        list[int | None]: None for cells centred outside the patches.

    Raises:
        ValueError: If a patch has no cell.
    """
    size = num_pixels // grid
    patches = [
        math.floor((offset + cell * stride + 0.5) / size)
        for cell in range(num_cells)
    ]
    empty = sorted(set(range(grid)) - set(patches))
    if empty:
        raise ValueError(
            f'no feature cell is centred in patches {empty} of {grid} along a '
            f'side of {num_pixels} pixels: patches of {size} pixels need more '
            f'cells than {num_cells} at stride {stride}; use a backbone of '
            'smaller stride, a larger crop or a smaller grid')
    return [patch if 0 <= patch < grid else None for patch in patches]


def _pooling_weights(patches: list[int | None], grid: int,
                     like: Tensor) -> Tensor:
    """Averages over the cells of each patch, shape (grid, num_cells)."""
    weights = torch.zeros(grid, len(patches))
    for cell, patch in enumerate(patches):
        if patch is not None:
            weights[patch, cell] = 1 / patches.count(patch)
    return weights.to(like, non_blocking=True)


def pool_patches(features: Tensor,
                 grid: int,
                 image_size: Sequence[int],
                 stride: int,
                 offset: float = 0.0) -> Tensor:
    """Average the feature cells of each patch.

    A cell belongs to the patch in which the centre of its receptive field
    lies (Eq. 3), so patches may have unequal numbers of cells; cells centred
    outside the patches belong to none. Stride and offset of a backbone come
    from :func:`mmseg_ssl.backbones.receptive_fields`.

    Args:
        features (Tensor): Shape (B, C, h, w).
        grid (int): Patches along each side.
        image_size (Sequence[int]): Height and width of the input that gave
            the features, in pixels.
        stride (int): Pixels from cell to cell.
        offset (float): Centre of the receptive field of the first cell, in
            pixels from the centre of the first pixel. Defaults to 0.0.

    Returns:
        Tensor: Shape (B, grid * grid, C), patches row by row.

    Raises:
        ValueError: If the grid does not fit or a patch has no cell.
    """
    patch_size(image_size, grid)
    rows, columns = (
        _pooling_weights(
            patch_of_cells(cells, pixels, grid, stride, offset), grid,
            features)
        for cells, pixels in zip(features.shape[-2:], image_size))
    pooled = rows @ features @ columns.t()  # (B, C, grid, grid)
    return pooled.flatten(2).transpose(1, 2)
