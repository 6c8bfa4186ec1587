"""Passes that look at few points give what passes over all points give."""
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_ssl.clustering import MiniBatchKMeans
from mmseg_ssl.clustering import mini_batch_kmeans as module
from mmseg_ssl.clustering.bounded_assignment import BoundedAssignment
from mmseg_ssl.clustering.nearest import best_of

METRICS = ('cosine', 'euclidean')


class Stream:
    """Shards that K-means cannot take for a list: it reads them each time."""

    def __init__(self, *shards: Tensor) -> None:
        self.shards = shards

    def __iter__(self):
        return iter(self.shards)


def blobs(num: int, spread: float, offset: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(6, 8, generator=generator)
    which = torch.randint(6, (num, ), generator=generator)
    noise = torch.randn(num, 8, generator=generator)
    return centres[which] + spread * noise + offset


def special_points() -> Tensor:
    """Equal points, points as near to two centroids, and zeros."""
    x = blobs(300, 0.8)
    return torch.cat([x, x[:100], x[:1].repeat(50, 1), torch.zeros(20, 8),
                      torch.eye(8).repeat(4, 1)])


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, 'CHUNK_BYTES', 3000)


@pytest.mark.parametrize('metric', METRICS)
@pytest.mark.parametrize('x', [
    blobs(1500, 0.3), blobs(1500, 1.5), blobs(1500, 0.3, offset=40),
    special_points()], ids=['tight', 'wide', 'far', 'special'])
def test_fit_is_that_of_full_passes(x, metric):
    start = x[:5]
    one = MiniBatchKMeans(5, 8, metric, init=start, max_iters=12, tol=0)
    two = MiniBatchKMeans(5, 8, metric, init=start, max_iters=12, tol=0)
    one.fit([x[:400], x[400:400], x[400:]])
    two.fit(Stream(x))
    assert one.num_iters == two.num_iters
    assert torch.equal(one.counts, two.counts)
    torch.testing.assert_close(
        one.centroids, two.centroids, atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(one.sums, two.sums, atol=1e-3, rtol=1e-6)
    # of points in one direction, cosines differ in the fourth digit alone
    assert one.inertia == pytest.approx(two.inertia, rel=1e-3)


@pytest.mark.parametrize('metric', METRICS)
def test_bounds_hold_after_every_pass(metric):
    x = blobs(500, 0.5)
    bounded = BoundedAssignment([x], metric, chunk_rows=64)
    centroids = x[:5].clone()
    if metric == 'cosine':
        centroids = F.normalize(centroids)
    looked_at = []
    for _ in range(15):
        bounded.statistics(centroids)
        shard, = bounded.shards
        points = F.normalize(x) if metric == 'cosine' else x
        distances = torch.cdist(points.double(), centroids.double())
        assert torch.equal(shard.labels, distances.argmin(dim=1))
        own = distances.gather(1, shard.labels.unsqueeze(1)).flatten()
        others = distances.scatter(
            1, shard.labels.unsqueeze(1), torch.inf).amin(dim=1)
        assert (shard.upper >= own).all() and (shard.lower <= others).all()
        looked_at.append(int((shard.upper < own + 1e-3).sum()))
        # as an iteration of Lloyd's algorithm moves them, if more slowly
        means = bounded.sums / bounded.counts.unsqueeze(1)
        centroids = centroids + 0.3 * (means.float() - centroids)
        if metric == 'cosine':
            centroids = F.normalize(centroids)
    assert looked_at[0] > 490  # whose bounds are tight
    assert looked_at[-1] < 100


def test_statistics_are_those_of_the_points():
    x = blobs(700, 0.7, offset=30)
    centroids = x[:5].clone()
    statistics = BoundedAssignment(
        [x], 'euclidean', chunk_rows=64).statistics(centroids)
    squared = torch.cdist(x.double(), centroids.double()).square()
    labels = squared.argmin(dim=1)
    sums = torch.zeros(5, 8, dtype=torch.float64).index_add(
        0, labels, x.double())
    torch.testing.assert_close(statistics.sums, sums, atol=1e-2, rtol=1e-6)
    assert statistics.counts.tolist() == labels.bincount(minlength=5).tolist()
    assert statistics.inertia == pytest.approx(
        squared.amin(dim=1).sum().item(), rel=1e-5)
    assert statistics.mean_variance == pytest.approx(
        x.double().var(dim=0, unbiased=False).mean().item(), rel=1e-4)


def test_memory_of_a_point():
    bounded = BoundedAssignment([blobs(500, 0.5)], 'euclidean', 64)
    bounded.statistics(blobs(5, 0.5))
    shard, = bounded.shards
    kept = (shard.labels, shard.upper, shard.lower, shard.norms)
    assert sum(part.untyped_storage().nbytes() for part in kept) == 20 * 500


def test_half_precision_shards():
    x = blobs(300, 0.5)
    start = x[:4]
    half = MiniBatchKMeans(4, 8, init=start).fit(x.half())
    full = MiniBatchKMeans(4, 8, init=start).fit(x.half().float())
    assert torch.equal(half.centroids, full.centroids)


def test_the_first_of_equal_scores_is_best():
    scores = torch.tensor([[1., 2, 0, -1], [3, 2, 0, -1], [3, 1, 0, -2]])
    best, labels = best_of(scores)
    assert best.tolist() == [3, 2, 0, -1]
    assert labels.tolist() == [1, 0, 0, 0]
    scores = torch.randn(300, 50)
    assert torch.equal(best_of(scores)[1], scores.max(dim=0).indices)
    assert best_of(torch.full((3, 2), torch.nan))[1].max() < 3
