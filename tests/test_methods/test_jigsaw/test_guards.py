"""Gaps between tiles, normalised tiles, grey images."""
import pytest
import torch
from scipy.stats import chisquare

from mmseg_ssl.methods.jigsaw import (
    drop_colour,
    normalize_tiles,
    place_patches,
    random_positions,
    random_shifts,
)


@pytest.mark.parametrize('with_shift', [True, False])
@pytest.mark.parametrize('grid, size, gap', [
    (3, (31, 40), 3), (5, (41, 35), 2)])
def test_tiles_come_from_inside_their_cells(grid, size, gap, with_shift):
    images = torch.rand(3, 2, *size)
    source = random_positions(3, grid)
    shift = random_shifts(3, grid, gap) if with_shift else None
    placed = place_patches(images, source, grid, gap, shift)
    high, wide = size[0] // grid, size[1] // grid
    assert placed.shape == (
        3, 2, grid * (high - gap), grid * (wide - gap))
    for sample in range(3):
        for k, cell in enumerate(source[sample].tolist()):
            dy, dx = (shift[sample, cell].tolist() if with_shift
                      else (gap // 2, gap // 2))
            top, left = cell // grid * high + dy, cell % grid * wide + dx
            tile = images[sample, :, top:top + high - gap,
                          left:left + wide - gap]
            row, column = k // grid, k % grid
            assert torch.equal(
                placed[sample, :, row * (high - gap):(row + 1) * (high - gap),
                       column * (wide - gap):(column + 1) * (wide - gap)],
                tile)


def test_shifts_are_uniform():
    shift = random_shifts(500, 3, 3, generator=torch.Generator().manual_seed(
        0))
    assert shift.shape == (500, 9, 2)
    assert chisquare(shift.flatten().bincount(minlength=4)).pvalue > 1e-3


@pytest.mark.parametrize('gap', [-1, 10, 11])
def test_gaps_that_leave_no_tile(gap):
    with pytest.raises(ValueError, match=f'a gap of {gap} pixels leaves '
                       'nothing of patches of 10x12 pixels'):
        place_patches(
            torch.zeros(1, 1, 30, 36), random_positions(1, 3), 3, gap)


def test_every_tile_is_normalised():
    puzzles = torch.rand(2, 3, 12, 15) * torch.rand(2, 3, 12, 15).exp()
    puzzles[0, 1, :4, :5] = 7.  # an even tile
    normalised = normalize_tiles(puzzles, 3)
    for row in range(3):
        for column in range(3):
            where = (..., slice(4 * row, 4 * row + 4),
                     slice(5 * column, 5 * column + 5))
            tile, before = normalised[where], puzzles[where]
            mean = before.mean(dim=(2, 3), keepdim=True)
            std = before.std(dim=(2, 3), keepdim=True, correction=0)
            torch.testing.assert_close(
                tile, (before - mean) / (std**2 + 1e-5).sqrt())
    assert (normalised[0, 1, :4, :5] == 0).all()


def test_some_images_lose_their_colours():
    images = torch.rand(200, 3, 4, 4)
    dropped = drop_colour(images, 0.3, torch.Generator().manual_seed(0))
    grey = (dropped == images.mean(dim=1, keepdim=True)).all(dim=(1, 2, 3))
    assert 40 <= grey.sum() <= 80
    assert torch.equal(dropped[~grey], images[~grey])
    assert drop_colour(images, 0.) is images
    everything = drop_colour(images, 1.)
    assert torch.equal(everything[:, 0], everything[:, 2])


def test_works_on_channels_last():
    puzzles = torch.rand(2, 3, 12, 12)
    strided = puzzles.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        normalize_tiles(strided, 3), normalize_tiles(puzzles, 3))
