"""Triplets: what the graph promises, against a slow reference and chance."""
import random
from collections import Counter

import pytest
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.stats import chisquare
from torch import Tensor

from mmseg_ssl.methods.mix_and_match import (
    class_connected_triplets,
    random_triplets,
)

SIZES = (1, 2, 3, 10, 400, 5000)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_labels(kind: str, num_nodes: int) -> Tensor:
    if kind == 'uniform':
        return torch.randint(21, (num_nodes, ))
    if kind == 'long-tailed':
        share = 1 / torch.arange(1., 100)**1.5
        return torch.multinomial(share, num_nodes, replacement=True)
    if kind == 'one class':
        return torch.full((num_nodes, ), 7)
    return torch.randperm(num_nodes) - 3  # all unique


KINDS = ('uniform', 'long-tailed', 'one class', 'all unique')


def reference_choices(labels: list[int], order: list[int]) -> dict:
    """What each node may be joined to, scanning all nodes for each."""
    choices = {}
    for time, node in enumerate(order):
        earlier = order[:time]
        same = [n for n in earlier if labels[n] == labels[node]]
        if not same:
            same = [n for n in order
                    if labels[n] == labels[node] and n != node]
        other = [n for n in earlier if labels[n] != labels[node]]
        if not other:
            other = [n for n in order if labels[n] != labels[node]]
        choices[node] = (same or [node], other or [-1])
    return choices


def reference_triplets(labels: list[int]) -> list[tuple[int, int, int]]:
    """The graph, built by rescanning."""
    order = random.sample(range(len(labels)), len(labels))
    return [(node, random.choice(same), random.choice(other))
            for node, (same, other) in
            reference_choices(labels, order).items()]


@pytest.mark.parametrize('num_nodes', SIZES)
@pytest.mark.parametrize('kind', KINDS)
def test_each_class_is_one_component(kind, num_nodes):
    labels = make_labels(kind, num_nodes)
    triplets = class_connected_triplets(labels)
    assert triplets.shape == (num_nodes, 3)
    assert triplets.dtype == torch.int64
    anchor, positive, negative = triplets.unbind(1)
    assert torch.equal(anchor.sort().values, torch.arange(num_nodes))
    assert torch.equal(labels[anchor], labels[positive])

    edges = coo_matrix((torch.ones(num_nodes), (anchor, positive)),
                       shape=(num_nodes, num_nodes))
    num_components, component = connected_components(edges, directed=False)
    assert num_components == len(labels.unique())
    assert len(set(zip(component.tolist(), labels.tolist()))) == num_components

    counts = torch.bincount(labels - labels.min())[labels - labels.min()]
    unique = counts[anchor] == 1
    assert torch.equal(positive == anchor, unique)
    if len(labels.unique()) == 1:
        assert (negative == -1).all()
    else:
        assert (negative >= 0).all()
        assert (labels[negative] != labels[anchor]).all()


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('num_nodes', [1, 2, 5, 60])
def test_every_edge_is_one_the_reference_allows(kind, num_nodes):
    labels = make_labels(kind, num_nodes)
    for seed in range(20):
        triplets = class_connected_triplets(labels, seeded(seed)).tolist()
        order = [anchor for anchor, _, _ in triplets]
        choices = reference_choices(labels.tolist(), order)
        for anchor, positive, negative in triplets:
            same, other = choices[anchor]
            assert positive in same
            assert negative in other


def test_edges_are_uniform_over_what_the_reference_allows():
    """Count, for every visiting time and history of labels, what was chosen.

    Nodes of a class are alike but for their number, so the place of the
    choice among the allowed nodes in visiting order must be uniform.
    """
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])
    positives, negatives = {}, {}
    for seed in range(4000):
        triplets = class_connected_triplets(labels, seeded(seed)).tolist()
        order = [anchor for anchor, _, _ in triplets]
        choices = reference_choices(labels.tolist(), order)
        for time, (anchor, *chosen) in enumerate(triplets):
            for edges, choice, allowed in zip((positives, negatives), chosen,
                                              choices[anchor]):
                key = (time, labels[anchor].item(), len(allowed))
                edges.setdefault(key, Counter())[allowed.index(choice)] += 1
    for edges in (positives, negatives):
        pvalues = [
            chisquare([seen[i] for i in range(key[2])]).pvalue
            for key, seen in edges.items()
            if key[2] > 1 and seen.total() >= 20 * key[2]
        ]
        assert len(pvalues) > 10
        assert min(pvalues) > 0.01 / len(pvalues)


def test_triplets_are_as_frequent_as_those_of_the_reference():
    """A whole triplet, which the choice of each edge alone would not show."""
    random.seed(0)
    labels = [0, 0, 1, 1, 1]
    num_draws = 4000
    expected = Counter(
        triplet for _ in range(5 * num_draws)
        for triplet in reference_triplets(labels))
    seen = Counter(
        tuple(row) for seed in range(num_draws) for row in
        class_connected_triplets(torch.tensor(labels), seeded(seed)).tolist())
    assert set(seen) == set(expected)
    pairs = [(seen[key], expected[key] / 5) for key in expected]
    # both sides are counts: their difference varies as seen + expected / 5
    statistic = sum((a - b)**2 / (1.2 * b) for a, b in pairs)
    assert statistic < 2 * len(pairs)


def test_the_order_of_visits_is_uniform():
    seen = Counter(
        tuple(class_connected_triplets(torch.tensor([0, 1, 0, 2]),
                                       seeded(seed))[:, 0].tolist())
        for seed in range(4800))
    assert len(seen) == 24
    assert chisquare(list(seen.values())).pvalue > 1e-3


@pytest.mark.parametrize('draw', [class_connected_triplets, random_triplets])
def test_a_generator_decides_everything(draw):
    labels = make_labels('uniform', 100)
    first = draw(labels, seeded(1))
    torch.rand(3)
    assert torch.equal(draw(labels, seeded(1)), first)
    assert not torch.equal(draw(labels, seeded(2)), first)


@pytest.mark.parametrize('draw', [class_connected_triplets, random_triplets])
def test_labels_of_any_integer_type(draw):
    labels = make_labels('long-tailed', 50)
    expected = draw(labels, seeded(0))
    for same in (labels.to(torch.uint8), labels.int() - 10,
                 labels * 2**40):
        assert torch.equal(draw(same, seeded(0)), expected)
    assert draw(labels[:0]).shape == (0, 3)


@pytest.mark.parametrize('draw', [class_connected_triplets, random_triplets])
def test_labels_must_be_a_list_of_nodes(draw):
    with pytest.raises(ValueError, match=r'shape \(N,\), but got .*\(2, 3\)'):
        draw(torch.zeros(2, 3, dtype=torch.int64))


# --- the baseline ----------------------------------------------------------


@pytest.mark.parametrize('num_nodes', SIZES)
@pytest.mark.parametrize('kind', KINDS)
def test_random_triplets_respect_the_classes(kind, num_nodes):
    labels = make_labels(kind, num_nodes)
    triplets = random_triplets(labels)
    assert triplets.shape == (num_nodes, 3)
    anchor, positive, negative = triplets.unbind(1)
    assert torch.equal(labels[anchor], labels[positive])
    is_unique = torch.tensor([(labels == label).sum() == 1
                              for label in labels[anchor]])
    assert torch.equal(positive == anchor, is_unique)
    if len(labels.unique()) == 1:
        assert (negative == -1).all()
    else:
        assert (labels[negative] != labels[anchor]).all()


def test_random_triplets_are_uniform():
    labels = torch.tensor([3, 1, 3, 1, 3, 0])
    seen = Counter(
        tuple(row) for seed in range(3000)
        for row in random_triplets(labels, seeded(seed)).tolist())
    share = {}
    for a, of_a in enumerate(labels.tolist()):
        same = [n for n in range(6) if labels[n] == of_a and n != a] or [a]
        other = [n for n in range(6) if labels[n] != of_a]
        share.update({(a, p, n): 1 / (6 * len(same) * len(other))
                      for p in same for n in other})
    assert set(seen) == set(share)
    assert chisquare([seen[key] for key in share],
                     [18_000 * share[key] for key in share]).pvalue > 1e-3
