"""k-means++ and drawing without replacement: what is drawn, how often."""
import pytest
import torch
from scipy.stats import chisquare

from mmseg_ssl.clustering import kmeans_plusplus
from mmseg_ssl.clustering.seeding import distinct_integers, squared_distances


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize('high, num', [(5, 9), (5, 5), (10, 6), (10, 3)])
def test_distinct_integers(high, num):
    hits = torch.zeros(high)
    generator = seeded(0)
    for _ in range(600):
        drawn = distinct_integers(high, num, generator)
        assert len(drawn) == min(num, high)
        assert drawn.unique().equal(drawn)
        hits[drawn] += 1
    assert hits.sum() == 600 * min(num, high)
    assert chisquare(hits).pvalue > 1e-3


def test_distinct_integers_need_no_memory_for_what_is_not_drawn():
    drawn = distinct_integers(10**15, 1000, seeded(0))
    assert len(drawn.unique()) == 1000
    assert abs(drawn.double().mean() / 10**15 - 0.5) < 0.05


def test_squared_distances():
    x = torch.randn(20, 5, generator=seeded(0)) + 3
    expected = torch.cdist(x.double(), x.double()).square()
    distances = squared_distances(x, x[:4])
    torch.testing.assert_close(
        distances.double(), expected[:4], atol=1e-4, rtol=1e-4)
    assert (distances[range(4), range(4)] == 0).all()


def test_first_centre_is_uniform():
    x = torch.arange(6.).unsqueeze(1)
    generator = seeded(0)
    drawn = [int(kmeans_plusplus(x, 1, generator)) for _ in range(1200)]
    counts = torch.tensor(drawn).bincount(minlength=6)
    assert chisquare(counts).pvalue > 1e-3


def test_second_centre_follows_the_squared_distance():
    """Two clusters: the best of two candidates, each drawn by D squared."""
    x = torch.tensor([[0.], [1], [3]])
    generator = seeded(0)
    drawn = []
    for _ in range(6000):
        first, second = kmeans_plusplus(x, 2, generator).flatten().tolist()
        if first == 0:
            drawn.append(second)
    # after 0: point 1 leaves 4, point 3 leaves 1, so one draw of 3 wins
    miss = (1 / 10)**2
    counts = [drawn.count(1), drawn.count(3)]
    assert sum(counts) == len(drawn)
    expected = [len(drawn) * miss, len(drawn) * (1 - miss)]
    assert chisquare(counts, expected).pvalue > 1e-3


def test_finds_one_point_of_each_blob():
    centres = 100 * torch.eye(8)
    noise = torch.randn(50, 8, 8, generator=seeded(0))
    x = (centres + noise).flatten(0, 1)
    for seed in range(10):
        chosen = kmeans_plusplus(x, 8, seeded(seed))
        assert chosen.argmax(dim=1).unique().numel() == 8


def test_no_point_twice_unless_there_are_too_few():
    x = torch.randn(12, 3, generator=seeded(0)) + 50
    assert len(kmeans_plusplus(x, 12, seeded(1)).unique(dim=0)) == 12
    x = x[:2].repeat(5, 1)
    assert len(kmeans_plusplus(x, 4, seeded(1)).unique(dim=0)) == 2
