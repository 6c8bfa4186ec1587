"""Colour histograms and their divergence, against slow loops."""
import math

import pytest
import torch

from mmseg_ssl.methods.colorization import (
    ColorHistogramLoss,
    ColourTargets,
    colour_targets,
    hue_and_chroma,
)


def slow_histogram(image, x, y, num_bins, window, which):
    counts = [0.] * num_bins
    _, height, width = image.shape
    reach = window // 2
    for j in range(y - reach, y + reach + 1):
        for i in range(x - reach, x + reach + 1):
            if 0 <= i < width and 0 <= j < height:
                value = float(hue_and_chroma(image[:, j, i])[which])
                counts[min(int(value * num_bins), num_bins - 1)] += 1
    return [count / sum(counts) for count in counts]


@pytest.mark.parametrize('window', [1, 3, 7])
def test_targets_against_a_loop(window):
    images = torch.rand(2, 3, 9, 11, dtype=torch.float64)
    points = torch.stack([torch.randint(11, (2, 8)),
                          torch.randint(9, (2, 8))], dim=2)
    points[:, 0] = 0  # corners
    points[:, 1] = torch.tensor([10, 8])
    targets = colour_targets(images, points, 8, window)
    for b in range(2):
        for p, (x, y) in enumerate(points[b].tolist()):
            for which, histogram in enumerate((targets.hue, targets.chroma)):
                assert histogram[b, p].tolist() == pytest.approx(
                    slow_histogram(images[b], x, y, 8, window, which))
            own = images[b, :, y, x]
            assert targets.weight[b, p].item() == pytest.approx(
                (own.max() - own.min()).item())
            assert targets.grey[b, p].item() == pytest.approx(
                own.mean().item())


def make_targets(shape=(2, 5, 6), dtype=torch.float64) -> ColourTargets:
    hue, chroma = torch.rand(2, *shape, dtype=dtype).pow(3)
    hue[0, 0] = 0
    hue[0, 0, 2] = 1  # a histogram with empty bins
    return ColourTargets(hue / hue.sum(-1, keepdim=True),
                         chroma / chroma.sum(-1, keepdim=True),
                         *torch.rand(2, *shape[:2], dtype=dtype))


def slow_divergence(logits, histogram):
    total = sum(math.exp(v) for v in logits)
    return sum(t * (math.log(t) - math.log(math.exp(v) / total))
               for t, v in zip(histogram, logits) if t > 0)


def test_loss_against_a_loop():
    targets = make_targets()
    hue, chroma = torch.randn(2, 2, 5, 6, dtype=torch.float64)
    losses = ColorHistogramLoss(hue_weight=3., loss_weight=0.5)(
        hue, chroma, targets)
    of_hue = of_chroma = 0.
    for b in range(2):
        for p in range(5):
            of_hue += targets.weight[b, p].item() * slow_divergence(
                hue[b, p].tolist(), targets.hue[b, p].tolist())
            of_chroma += slow_divergence(
                chroma[b, p].tolist(), targets.chroma[b, p].tolist())
    assert losses['loss_hue'].item() == pytest.approx(1.5 * of_hue / 10)
    assert losses['loss_chroma'].item() == pytest.approx(0.5 * of_chroma / 10)


def test_chroma_of_black_and_white_can_count_less():
    hue, chroma = torch.randn(2, 2, 5, 6, dtype=torch.float64)
    grey = torch.tensor([0., 1 / 6, 0.5, 0.9, 1.], dtype=torch.float64)
    targets = make_targets()._replace(grey=grey.expand(2, 5))
    plain = ColorHistogramLoss()(hue, chroma, targets)
    losses = ColorHistogramLoss(lightness_weight=True)(hue, chroma, targets)
    assert losses['loss_hue'] == plain['loss_hue']
    expected = sum(
        weight * slow_divergence(chroma[b, p].tolist(),
                                 targets.chroma[b, p].tolist())
        for b in range(2) for p, weight in enumerate((0., 0.5, 1., 0.3, 0.)))
    assert losses['loss_chroma'].item() == pytest.approx(expected / 10)


def test_gradient():
    targets = make_targets()
    logits = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    loss = ColorHistogramLoss()
    assert torch.autograd.gradcheck(
        lambda x: sum(loss(x[0], x[1], targets).values()), logits)


def test_loss_vanishes_when_free_logits_follow_its_gradient():
    targets = make_targets(dtype=torch.float32)
    logits = torch.zeros(2, 2, 5, 6, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    loss = ColorHistogramLoss()
    values = []
    for _ in range(120):
        value = sum(loss(*logits, targets).values())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert min(values) > -1e-6
    assert values[-1] < 0.02 * values[0]


def test_hue_of_grey_does_not_count():
    targets = make_targets()._replace(weight=torch.zeros(2, 5))
    losses = ColorHistogramLoss()(*torch.randn(2, 2, 5, 6), targets)
    assert losses['loss_hue'] == 0 < losses['loss_chroma']


def test_half_precision_is_raised():
    targets = make_targets(dtype=torch.float32)
    losses = ColorHistogramLoss()(
        *torch.randn(2, 2, 5, 6).bfloat16(), targets)
    assert all(loss.dtype == torch.float32 for loss in losses.values())


def test_shapes_that_differ():
    with pytest.raises(ValueError, match=r'share their shape.*\(2, 5, 7\)'):
        ColorHistogramLoss()(
            torch.zeros(2, 5, 7), torch.zeros(2, 5, 6), make_targets())
