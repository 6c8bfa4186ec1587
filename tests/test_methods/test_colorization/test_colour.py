"""Hue, chroma, and back to colours."""
import colorsys

import pytest
import torch

from mmseg_ssl.methods.colorization.colour import (
    circular_mean,
    colour_of,
    histogram_bins,
    hue_and_chroma,
    median_of,
)


def test_hue_and_chroma_are_those_of_colorsys():
    colours = torch.rand(500, 3, dtype=torch.float64)
    colours[:100] = (colours[:100] * 3).round() / 3  # greys, ties, primaries
    hue, chroma = hue_and_chroma(colours)
    for colour, h, c in zip(colours.tolist(), hue, chroma):
        expected, saturation, value = colorsys.rgb_to_hsv(*colour)
        assert h.item() == pytest.approx(expected, abs=1e-12)
        assert c.item() == pytest.approx(saturation * value, abs=1e-12)
    assert ((hue >= 0) & (hue < 1)).all()


def test_colours_come_back():
    colours = torch.rand(300, 3, dtype=torch.float64)
    hue, chroma = hue_and_chroma(colours)
    back = colour_of(hue, chroma, colours.mean(dim=1))
    torch.testing.assert_close(back, colours)


def test_colours_keep_the_grey_unless_clipped():
    hue, chroma = torch.rand(2, 200)
    colours = colour_of(hue, 0.3 * chroma, torch.full((200, ), 0.5))
    torch.testing.assert_close(colours.mean(dim=1), torch.full((200, ), 0.5))
    clipped = colour_of(hue, torch.ones(200), torch.rand(200))
    assert ((clipped >= 0) & (clipped <= 1)).all()


def test_bins():
    values = torch.tensor([0, 0.2499, 0.25, 0.999, 1])
    assert histogram_bins(values, 4).tolist() == [0, 0, 1, 3, 3]


def test_median():
    # all in bin 2 of 4; half in bin 0, half in bin 3; a quarter each
    histograms = torch.tensor([[0, 0, 1, 0], [0.5, 0, 0, 0.5],
                               [0.25, 0.25, 0.25, 0.25], [0.1, 0.8, 0.1, 0]])
    torch.testing.assert_close(
        median_of(histograms), torch.tensor([0.625, 0.25, 0.5, 0.375]))


def test_circular_mean():
    histograms = torch.zeros(4, 32)
    histograms[0, 5] = 1
    histograms[1, [31, 0]] = 0.5  # around the seam
    histograms[2, [3, 19]] = 0.5  # opposite of each other
    histograms[3] = 1 / 32
    direction, length = circular_mean(histograms)
    assert direction[0].item() == pytest.approx(5.5 / 32)
    assert min(direction[1].item(), 1 - direction[1].item()) < 1e-6
    assert ((direction >= 0) & (direction < 1)).all()
    torch.testing.assert_close(length[0], torch.tensor(1.))
    assert length[1] > 0.99
    assert (length[2:] < 1e-6).all()
