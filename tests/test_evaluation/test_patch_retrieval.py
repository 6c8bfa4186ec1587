"""Nearest neighbours among patches."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_ssl.evaluation import patch_retrieval
from mmseg_ssl.evaluation.patch_retrieval import (
    PatchRetrieval,
    effective_rank,
)


def samples(num_images=7, num_classes=3, dim=4):
    result = []
    for i in range(num_images):
        n = i % 4  # an image may have none
        result.append(dict(
            patch_features=F.normalize(torch.randn(n, dim), dim=1),
            patch_labels=torch.randint(num_classes, (n, ))))
    return result


def slow_accuracy(data):
    rows = [(i, f.double().numpy(), int(c)) for i, s in enumerate(data)
            for f, c in zip(s['patch_features'], s['patch_labels'])]
    right = {}
    for image, feature, label in rows:
        others = [r for r in rows if r[0] != image]
        best = max(others, key=lambda r: float(feature @ r[1]))
        right.setdefault(label, []).append(best[2] == label)
    return (100 * np.mean(np.concatenate(list(right.values()))),
            100 * np.mean([np.mean(v) for v in right.values()]))


@pytest.mark.parametrize('chunk', [3, 1024])
def test_against_a_loop(monkeypatch, chunk):
    monkeypatch.setattr(patch_retrieval, 'CHUNK', chunk)
    data = samples(20)
    metric = PatchRetrieval()
    for sample in data:
        metric.process(None, [sample])
    scores = metric.compute_metrics(metric.results)
    expected = slow_accuracy(data)
    assert scores['nn_acc'] == pytest.approx(expected[0])
    assert scores['nn_mAcc'] == pytest.approx(expected[1])
    assert 0 < scores['chance_acc'] < 100


def test_needs_two_images():
    metric = PatchRetrieval()
    metric.process(None, samples(2))  # the first is empty
    with pytest.raises(ValueError, match='only 1 of 2 has any'):
        metric.compute_metrics(metric.results)


@pytest.mark.parametrize('rank', [1, 3, 6])
def test_effective_rank_counts_directions(rank):
    axes = torch.linalg.qr(torch.randn(6, rank, dtype=torch.float64))[0]
    ends = torch.cat([axes.t(), -axes.t()])  # the same variance on each
    assert effective_rank(ends + torch.randn(6)) == pytest.approx(rank)


def test_effective_rank_weighs_directions():
    # variances 0.9 and 0.1: e to the power of their entropy
    points = torch.tensor([[3., 0.], [-3., 0.], [0., 1.], [0., -1.]])
    expected = np.exp(-0.9 * np.log(0.9) - 0.1 * np.log(0.1))
    assert effective_rank(points) == pytest.approx(expected)
    assert effective_rank(torch.ones(5, 3)) == 0


def test_effective_rank_of_some_patches(monkeypatch):
    monkeypatch.setattr(patch_retrieval, 'RANK_PATCHES', 10)
    data = samples(20)
    features = torch.cat([sample['patch_features'] for sample in data])
    assert len(features) == 30
    metric = PatchRetrieval()
    metric.process(None, data)
    assert metric.compute_metrics(metric.results)['effective_rank'] == \
        pytest.approx(effective_rank(features[::3]))
