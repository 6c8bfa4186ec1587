"""PatchTripletLoss against a float64 loop, by descent, at its edges."""
import math

import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_ssl.methods.mix_and_match import (
    PatchTripletLoss,
    class_connected_triplets,
)


def loop(features: Tensor, triplets: Tensor, margin: float) -> float:
    """1 / (2 N) sum max(0, d(a, p) - d(a, n) + margin), one by one."""
    unit = [row / math.sqrt((row * row).sum())
            for row in features.detach().double().flatten(1).numpy()]

    def distance(i: int, j: int) -> float:
        return ((unit[i] - unit[j])**2).sum()

    rows = [row for row in triplets.tolist() if row[2] >= 0]
    return sum(
        max(0., distance(a, p) - distance(a, n) + margin)
        for a, p, n in rows) / (2 * len(rows))


def make_inputs(num_nodes=40, num_classes=5, dtype=torch.float64):
    """Features that lean to their class, so that some triplets are solved."""
    labels = torch.randint(num_classes, (num_nodes, ))
    features = torch.randn(num_nodes, 4, 3, 2, dtype=dtype)
    features.flatten(1)[torch.arange(num_nodes), labels] += 6
    return (features * 7).requires_grad_(), class_connected_triplets(labels)


@pytest.mark.parametrize('margin', [0.3, 1.0, 2.1])
@pytest.mark.parametrize('loss_weight', [1.0, 0.2])
def test_value_of_the_loop(margin, loss_weight):
    features, triplets = make_inputs()
    triplets[::4, 2] = -1
    value = PatchTripletLoss(margin, loss_weight)(features, triplets)
    expected = loss_weight * loop(features, triplets, margin)
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert value.item() > 0


def test_the_margin_of_the_paper_is_the_default():
    """Equal positive, opposite negative: 0 - 4 + 2.1 < 0. Swapped: 6.1."""
    features = torch.tensor([[1., 0], [5, 0], [-2, 0]])
    loss = PatchTripletLoss()
    assert loss(features, torch.tensor([[0, 1, 2]])) == 0
    swapped = loss(features, torch.tensor([[0, 2, 1]]))
    assert swapped.item() == pytest.approx(6.1 / 2)
    own = loss(features, torch.tensor([[0, 0, 1]]))
    assert own.item() == pytest.approx(2.1 / 2)


def test_gradient():
    features, triplets = make_inputs(num_nodes=12, num_classes=3)
    triplets[0, 2] = -1
    loss = PatchTripletLoss(margin=1.0)
    assert torch.autograd.gradcheck(lambda x: loss(x, triplets), features)


def test_descent_separates_the_classes():
    labels = torch.arange(5).repeat_interleave(6)
    features = torch.randn(30, 16, requires_grad=True)
    triplets = class_connected_triplets(labels)
    loss = PatchTripletLoss(margin=1.0)
    optimizer = torch.optim.SGD([features], lr=5.)
    first = loss(features, triplets).item()
    for _ in range(200):
        optimizer.zero_grad()
        value = loss(features, triplets)
        value.backward()
        optimizer.step()
    assert first > 0.3
    assert value.item() < 0.01


def test_left_out_triplets_have_no_gradient():
    features = torch.randn(5, 3, requires_grad=True)
    triplets = torch.tensor([[0, 1, 2], [3, 4, -1]])
    PatchTripletLoss()(features, triplets).backward()
    reached = features.grad.abs().sum(dim=1) > 0
    assert reached.tolist() == [True, True, True, False, False]


@pytest.mark.parametrize('triplets', [
    torch.tensor([[0, 1, -1], [1, 0, -1]]),
    torch.zeros(0, 3, dtype=torch.int64)])
def test_zero_keeps_a_graph(triplets):
    features = torch.randn(2, 3, requires_grad=True)
    loss = PatchTripletLoss()
    value = loss(features, triplets)
    value.backward()
    assert value.item() == 0
    assert torch.equal(features.grad, torch.zeros(2, 3))
    statistics = loss.statistics(features, triplets)
    assert all(scalar.item() == 0 for scalar in statistics.values())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype):
    """Squares of these features overflow float16, and so would their sum."""
    features, triplets = make_inputs(dtype=torch.float32)
    half = (100 * features).detach().to(dtype).requires_grad_()
    loss = PatchTripletLoss()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = loss(half, triplets)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(
        loop(half, triplets, 2.1), rel=1e-5)
    assert half.grad.isfinite().all()


def test_statistics():
    features, triplets = make_inputs()
    triplets[:5] = triplets[:5, [0, 2, 1]]  # ranked wrongly
    triplets[0, 2] = -1
    statistics = PatchTripletLoss(margin=1.0).statistics(features, triplets)
    unit = torch.nn.functional.normalize(features.flatten(1), dim=1)
    anchor, positive, negative = unit[triplets[1:].t()]
    to_positive = (anchor - positive).norm(dim=1)**2
    to_negative = (anchor - negative).norm(dim=1)**2
    active = to_positive - to_negative + 1.0 > 0
    assert 0 < (to_positive > to_negative).sum() < active.sum() < len(active)
    expected = dict(
        active_share=active.double().mean(),
        misranked_share=(to_positive > to_negative).double().mean(),
        positive_distance=to_positive.mean(),
        negative_distance=to_negative.mean())
    torch.testing.assert_close(statistics, expected)
    assert not any(s.requires_grad for s in statistics.values())


def test_features_behind_a_relu_are_always_active():
    """Their distances are at most 2; the best ranking leaves (2.1 - 2) / 2."""
    features = torch.eye(2)[[0, 0, 1]]
    loss, triplets = PatchTripletLoss(), torch.tensor([[0, 1, 2]])
    assert loss(features, triplets).item() == pytest.approx(0.05)
    statistics = loss.statistics(features, triplets)
    assert statistics['active_share'] == 1
    assert statistics['misranked_share'] == 0
    wrong = loss.statistics(features, torch.tensor([[0, 2, 1], [0, 1, 2]]))
    assert wrong['misranked_share'] == 0.5

    features, triplets = make_inputs()
    assert loss.statistics(features.relu(), triplets)['active_share'] == 1


def test_it_is_registered():
    loss = MODELS.build(dict(type='PatchTripletLoss', margin=0.5))
    assert loss.margin == 0.5


def test_wrong_arguments():
    with pytest.raises(ValueError, match='margin must be positive'):
        PatchTripletLoss(margin=0)
    with pytest.raises(ValueError, match=r'triplets \(T, 3\), but got .*4, 2'):
        PatchTripletLoss()(torch.zeros(4, 2), torch.zeros(4, 2).long())
