"""Losses against what their equations say, slowly."""
import math

import pytest
import torch
import torch.nn.functional as F

from mmseg_ssl.methods.picie import (
    cluster_loss,
    cluster_scores,
    head_weights,
    nearest_clusters,
)
from mmseg_ssl.methods.picie.losses import IGNORED


@pytest.fixture
def problem():
    features = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    centroids = F.normalize(torch.randn(6, 5, dtype=torch.float64))
    labels = torch.randint(6, (2, 3, 4))
    labels[0, 0, :2] = IGNORED
    return features, labels, centroids


def fast_loss(features, labels, centroids, temperature=1.0, weight=None):
    return cluster_loss(
        cluster_scores(features, centroids), labels, temperature, weight)


def slow_loss(features, labels, centroids, temperature, weight) -> float:
    total = norm = 0
    for b, y, x in (labels != IGNORED).nonzero().tolist():
        pixel = features[b, :, y, x]
        distances = [
            1 - F.cosine_similarity(pixel, centre, dim=0).item()
            for centre in centroids]
        label = labels[b, y, x].item()
        odds = [math.exp(-d / temperature) for d in distances]
        w = 1 if weight is None else weight[label].item()
        total -= w * math.log(odds[label] / sum(odds))
        norm += w
    return total / norm


@pytest.mark.parametrize('temperature', [1.0, 0.2])
@pytest.mark.parametrize('weighted', [False, True])
def test_cluster_loss(problem, temperature, weighted):
    features, labels, centroids = problem
    weight = torch.rand(6, dtype=torch.float64) if weighted else None
    loss = fast_loss(features, labels, centroids, temperature, weight)
    assert loss.item() == pytest.approx(
        slow_loss(*problem, temperature, weight))


def test_every_one_of_many_clusters_counts():
    """255 is void among class labels, and a cluster among 300."""
    centroids = F.normalize(torch.randn(300, 5, dtype=torch.float64))
    features = torch.randn(1, 5, 1, 3, dtype=torch.float64)
    labels = torch.tensor([[[255, 299, 255]]])
    assert fast_loss(features, labels, centroids).item() == pytest.approx(
        slow_loss(features, labels, centroids, 1.0, None))


def test_gradient(problem):
    features, labels, centroids = problem
    torch.autograd.gradcheck(
        lambda x: fast_loss(x, labels, centroids, 0.5),
        (features.requires_grad_(), ))


def test_centroids_get_no_gradient(problem):
    features, labels, centroids = problem
    centroids.requires_grad_()
    features.requires_grad_()
    fast_loss(features, labels, centroids).backward()
    assert centroids.grad is None and features.grad.abs().sum() > 0


@pytest.mark.parametrize('weight', [None, torch.ones(6).double()])
def test_nothing_to_learn_keeps_the_graph(problem, weight):
    features, labels, centroids = problem
    features = features.requires_grad_()
    loss = fast_loss(features, torch.full_like(labels, IGNORED),
                     centroids, weight=weight)
    assert loss == 0
    loss.backward()
    assert (features.grad == 0).all()


def test_loss_falls_along_its_gradient(problem):
    features, labels, centroids = problem
    features = features.requires_grad_()
    optimizer = torch.optim.SGD([features], lr=5.0)
    losses = []
    for _ in range(30):
        loss = fast_loss(features, labels, centroids, 0.3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize('metric', ['cosine', 'euclidean'])
def test_the_nearest_centroid_scores_highest(problem, metric):
    features, _, _ = problem
    centroids = torch.randn(6, 5, dtype=torch.float64)
    pixels = features.permute(0, 2, 3, 1).reshape(-1, 5)
    if metric == 'cosine':
        expected = F.cosine_similarity(
            pixels[:, None], centroids[None], dim=2).argmax(1)
    else:
        expected = torch.cdist(pixels, centroids).argmin(1)
    scores = cluster_scores(features, centroids, metric)
    assert torch.equal(scores.argmax(1).flatten(), expected)
    labels = nearest_clusters(features, centroids, metric)
    assert torch.equal(labels.flatten(), expected)


def test_head_weights():
    assert head_weights([27]) == [1.0]
    first, second = head_weights([27, 100])
    assert first == pytest.approx(math.log(100) / math.log(2700))
    assert first + second == pytest.approx(1) and first > second
    for wrong in ([27, 50, 100], [1, 100]):
        with pytest.raises(ValueError, match='numbers of clusters'):
            head_weights(wrong)
