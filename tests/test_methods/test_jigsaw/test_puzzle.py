"""Puzzles: exact, reversible, uniform; cells pooled into their patches."""
import itertools
from collections import Counter

import pytest
import torch
from mmseg.registry import MODELS
from scipy.stats import chisquare
from torch import Tensor, nn

from mmseg_ssl.methods.jigsaw import (
    pool_patches,
    restore_patches,
    shuffle_patches,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def paste_tiles(images: Tensor, position: Tensor, grid: int) -> Tensor:
    """Cut and paste one tile after the other."""
    height, width = images.size(2) // grid, images.size(3) // grid
    pasted = images.new_zeros(
        (*images.shape[:2], grid * height, grid * width))
    for sample, cells in enumerate(position.tolist()):
        for k, cell in enumerate(cells):
            to_y, to_x = k // grid * height, k % grid * width
            from_y, from_x = cell // grid * height, cell % grid * width
            pasted[sample, :, to_y:to_y + height, to_x:to_x + width] = images[
                sample, :, from_y:from_y + height, from_x:from_x + width]
    return pasted


@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32, torch.float16])
@pytest.mark.parametrize('grid, size', [(3, (12, 9)), (3, (13, 11)),
                                        (5, (23, 10)), (7, (7, 7))])
def test_same_as_pasting_tiles(grid, size, dtype):
    images = torch.randint(0, 255, (4, 3, *size)).to(dtype)
    shuffled, position = shuffle_patches(images, grid)
    assert position.shape == (4, grid * grid)
    assert position.dtype == torch.int64
    assert shuffled.dtype == dtype
    assert torch.equal(shuffled, paste_tiles(images, position, grid))
    assert not torch.equal(position[0], position[1])


@pytest.mark.parametrize('grid, size', [(3, (12, 9)), (5, (23, 14))])
def test_restoring_gives_back_the_image(grid, size):
    images = torch.rand(3, 3, *size)
    shuffled, position = shuffle_patches(images, grid)
    cut = images[..., :size[0] // grid * grid, :size[1] // grid * grid]
    assert torch.equal(restore_patches(shuffled, position, grid), cut)


def test_memory_layout_of_the_input_does_not_matter():
    images = torch.rand(2, 3, 20, 17)
    expected, _ = shuffle_patches(images, 3, seeded(0))
    channels_last = images.contiguous(memory_format=torch.channels_last)
    wider = torch.rand(2, 3, 20, 30)
    wider[..., 5:22] = images
    for same in (channels_last, wider[..., 5:22]):
        assert torch.equal(shuffle_patches(same, 3, seeded(0))[0], expected)


@pytest.mark.parametrize('grid', [3, 5])
def test_the_centre_stays_and_positions_are_permutations(grid):
    _, position = shuffle_patches(torch.zeros(200, 1, grid, grid), grid)
    centre = grid * grid // 2
    assert (position[:, centre] == centre).all()
    in_order = torch.arange(grid * grid).expand_as(position)
    assert torch.equal(position.sort(dim=1).values, in_order)


def test_every_permutation_is_as_likely():
    """8! = 40,320 are too many to count: take the cells of three patches."""
    num_samples = 60_000
    _, position = shuffle_patches(
        torch.zeros(num_samples, 1, 3, 3, dtype=torch.uint8), 3, seeded(1))
    movable = [0, 1, 2, 3, 5, 6, 7, 8]
    for patches in ([0, 3, 8], [5, 1, 2], [6, 7, 3]):
        seen = Counter(map(tuple, position[:, patches].tolist()))
        possible = list(itertools.permutations(movable, 3))
        assert set(seen) == set(possible)
        assert chisquare([seen[cells] for cells in possible]).pvalue > 1e-3


def test_even_and_odd_permutations_are_as_likely():
    """Which counts of a few cells do not tell."""
    num_samples = 20_000
    _, position = shuffle_patches(
        torch.zeros(num_samples, 1, 3, 3, dtype=torch.uint8), 3, seeded(2))
    later, earlier = torch.tril_indices(9, 9, -1)
    inversions = (position[:, earlier] > position[:, later]).sum(dim=1)
    even = int((inversions % 2 == 0).sum())
    assert chisquare([even, num_samples - even]).pvalue > 1e-3


def test_a_generator_decides_everything():
    images = torch.rand(4, 3, 15, 15)
    first = shuffle_patches(images, 5, seeded(3))
    torch.rand(7)
    again = shuffle_patches(images, 5, seeded(3))
    other = shuffle_patches(images, 5, seeded(4))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first[1], other[1])


def test_crop_of_576_for_25_patches_is_cut_to_575():
    images = torch.rand(1, 3, 576, 576)
    shuffled, position = shuffle_patches(images, 5)
    assert shuffled.shape == (1, 3, 575, 575)
    assert torch.equal(
        restore_patches(shuffled, position, 5), images[..., :575, :575])


@pytest.mark.parametrize('grid, message', [
    (4, 'grid must be odd'), (1, 'at least 3'), (-3, 'at least 3'),
    (9, '8x12 pixels cannot be cut into 9x9')])
def test_impossible_grids_are_refused(grid, message):
    with pytest.raises(ValueError, match=message):
        shuffle_patches(torch.zeros(1, 3, 8, 12), grid)


# --- pooling ---------------------------------------------------------------


def test_pooling_averages_the_cells_of_each_patch():
    features = torch.arange(36.).view(1, 1, 6, 6)
    pooled = pool_patches(features, 3, (48, 48), stride=8, offset=3.5)
    expected = features.view(3, 2, 3, 2).mean(dim=(1, 3)).view(1, 9, 1)
    torch.testing.assert_close(pooled, expected)


def test_uneven_cell_counts_of_115_pixel_patches_at_stride_32():
    """Cells at 0, 32, ..., 544; patches end before 115, 230, 345, 460."""
    cells = torch.arange(18.)
    row_patches = [0] * 4 + [1] * 4 + [2] * 3 + [3] * 4 + [4] * 3
    features = (100 * cells[:, None] + cells).view(1, 1, 18, 18)
    pooled = pool_patches(features, 5, (575, 575), stride=32)
    means = torch.stack([
        cells[torch.tensor(row_patches) == patch].mean() for patch in range(5)
    ])
    expected = (100 * means[:, None] + means).view(1, 25, 1)
    torch.testing.assert_close(pooled, expected)


def test_cells_centred_in_the_padding_do_not_count():
    """As behind the padding of 100 pixels of FCN-32s."""
    features = torch.tensor([9., 1, 2, 3, 9]).expand(1, 2, 5, 5)
    pooled = pool_patches(features, 3, (30, 30), stride=10, offset=-5.)
    columns = torch.tensor([1., 2, 3]).repeat(3)
    rows = columns  # every row of features is the same
    assert torch.equal(pooled[0, :, 0], rows)


@pytest.mark.parametrize('stride, kernel, padding', [
    (4, 7, 3), (4, 4, 0), (8, 9, 0), (5, 3, 1)])
def test_pooling_of_a_network_that_averages_its_field(stride, kernel,
                                                      padding):
    """The mean over a field of a coordinate is the field's centre.

    Cells whose field reaches into the padding are moved off their centre, so
    what pooling must give comes from the centres themselves.
    """
    grid, size = 3, 39
    conv = nn.Conv2d(1, 1, kernel, stride, padding, bias=False)
    nn.init.constant_(conv.weight, 1 / kernel**2)
    x = torch.arange(size, dtype=torch.float32).expand(1, 1, size, size)
    with torch.no_grad():
        response = conv(x)
    offset = (kernel - 1) / 2 - padding
    centres = offset + stride * torch.arange(response.size(3))
    whole = ((centres - (kernel - 1) / 2 >= 0) &
             (centres + (kernel - 1) / 2 <= size - 1))
    interior = response[0, 0, response.size(2) // 2]
    torch.testing.assert_close(interior[whole], centres[whole])

    features = centres.expand(1, 1, len(centres), len(centres))
    pooled = pool_patches(features, grid, (size, size), stride, offset)
    patch = ((centres + 0.5) / (size // grid)).floor()
    for column in range(grid):
        expected = centres[patch == column].mean()
        torch.testing.assert_close(pooled[0, column, 0], expected)
        low, high = column * size // grid, (column + 1) * size // grid
        assert low - 0.5 <= pooled[0, column, 0] <= high - 0.5


def test_pooling_finds_the_patch_that_a_pixel_lies_in():
    """A lit patch shows in its own row of the output, more than elsewhere."""
    from mmseg_ssl.backbones import receptive_fields
    backbone = MODELS.build(dict(
        type='ResNet', depth=18, base_channels=4, stem_channels=4))
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    backbone.eval()
    field, _ = receptive_fields(backbone)['layer4']
    image = torch.zeros(25, 3, 575, 575)
    for patch in range(25):
        top, left = patch // 5 * 115, patch % 5 * 115
        image[patch, :, top:top + 115, left:left + 115] = 1
    with torch.no_grad():
        features = torch.cat([backbone(x)[-1] for x in image.split(5)])
    pooled = pool_patches(
        features, 5, (575, 575), field.stride, field.offset).mean(dim=2)
    assert torch.equal(pooled.argmax(dim=1), torch.arange(25))


def test_gradients_reach_every_cell():
    features = torch.rand(2, 3, 4, 5, requires_grad=True)
    pool_patches(features, 3, (48, 60), stride=12).sum().backward()
    assert (features.grad > 0).all()


def test_a_patch_without_a_cell_is_an_error():
    with pytest.raises(ValueError, match=r'patches \[4\] of 5 .* stride 32'):
        pool_patches(torch.zeros(1, 8, 4, 4), 5, (125, 125), stride=32)
