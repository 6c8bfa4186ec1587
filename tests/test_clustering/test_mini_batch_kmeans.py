"""MiniBatchKMeans against slow references, scikit-learn and itself."""
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.utils import ProgressBar
from sklearn.cluster import KMeans
from torch import Tensor

from mmseg_ssl.clustering import MiniBatchKMeans
from mmseg_ssl.clustering import mini_batch_kmeans as module


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(num: int, dim: int, num_blobs: int, spread: float = 0.3,
          seed: int = 0) -> Tensor:
    """Gaussian blobs around random centres of about unit norm."""
    generator = seeded(seed)
    centres = torch.randn(num_blobs, dim, generator=generator) / dim**0.5
    which = torch.randint(num_blobs, (num, ), generator=generator)
    noise = torch.randn(num, dim, generator=generator)
    return centres[which] + spread * noise / dim**0.5


def slow_lloyd(x: Tensor, centres: Tensor, metric: str,
               num_iters: int) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm as it is written down, in float64, with loops."""
    x, centres = x.double(), centres.double()
    if metric == 'cosine':
        x, centres = F.normalize(x), F.normalize(centres)
    for _ in range(num_iters):
        distances = torch.stack(
            [(x - centre).square().sum(dim=1) for centre in centres])
        labels = distances.argmin(dim=0)
        centres = torch.stack(
            [x[labels == k].mean(dim=0) for k in range(len(centres))])
        if metric == 'cosine':
            centres = F.normalize(centres)
    return centres, distances.min(dim=0).values.sum()


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of a few rows, so that small data have many."""
    monkeypatch.setattr(module, 'CHUNK_BYTES', 1000)


@pytest.mark.parametrize('metric', ['cosine', 'euclidean'])
def test_fit_is_lloyds_algorithm(metric, small_chunks):
    x = blobs(1000, 6, 8, spread=1.5)
    kmeans = MiniBatchKMeans(
        5, 6, metric=metric, init=x[:5], max_iters=7, tol=0).fit(x)
    centres, inertia = slow_lloyd(x, x[:5], metric, num_iters=7)
    assert kmeans.num_iters == 7
    torch.testing.assert_close(
        kmeans.centroids.double(), centres, atol=1e-5, rtol=0)
    assert kmeans.inertia == pytest.approx(inertia.item(), rel=1e-5)
    assert kmeans.counts.sum() == 1000


@pytest.mark.parametrize('metric', ['cosine', 'euclidean'])
@pytest.mark.parametrize('offset', [0, 3])
def test_inertia_of_scikit_learn(metric, offset):
    x = blobs(5000, 16, 12, spread=1.2) + offset
    start = x[::500].clone()
    points = F.normalize(x) if metric == 'cosine' else x
    kmeans = MiniBatchKMeans(
        10, 16, metric=metric, init=start, max_iters=300, tol=0).fit(x)
    assert kmeans.num_iters < 300
    if metric == 'euclidean':
        reference = KMeans(10, init=start.numpy(), n_init=1, tol=0).fit(
            points.double().numpy())
        expected = reference.inertia_
        labels = kmeans.assign(x)[0].numpy()
        assert np.mean(labels == reference.labels_) > 0.999
    else:
        expected = slow_lloyd(x, start, metric, 100)[1].item()
    assert kmeans.inertia == pytest.approx(expected, rel=1e-4)


# random points seldom hit all of many blobs
@pytest.mark.parametrize('init, num', [('k-means++', 10), ('sample', 4)])
def test_finds_blobs_as_well_as_scikit_learn(init, num):
    x = blobs(3000, 16, num)
    kmeans = MiniBatchKMeans(
        num, 16, metric='euclidean', init=init, n_init=10)
    kmeans.fit(x, generator=seeded(1))
    reference = KMeans(num, n_init=10, random_state=0).fit(x.numpy())
    assert kmeans.inertia <= 1.001 * reference.inertia_


def test_more_seedings_are_not_worse():
    x = blobs(2000, 8, 12, spread=0.6)

    def mean_inertia(n_init: int) -> float:
        kmeans = MiniBatchKMeans(
            12, 8, metric='euclidean', init='sample', n_init=n_init)
        return np.mean([
            kmeans.fit(x, seeded(seed)).inertia for seed in range(6)])

    assert mean_inertia(6) < 0.99 * mean_inertia(1)


def test_cosine_ignores_lengths_and_euclidean_does_not():
    x = F.normalize(blobs(600, 5, 4))
    scale = torch.rand(600, 1, generator=seeded(1)) * 20 + 0.1
    plain = MiniBatchKMeans(4, 5, init=x[:4]).fit(x)
    scaled = MiniBatchKMeans(4, 5, init=x[:4]).fit(x * scale)
    torch.testing.assert_close(plain.centroids, scaled.centroids)
    torch.testing.assert_close(
        plain.centroids.norm(dim=1), torch.ones(4))

    two = torch.tensor([[1., 0], [1.1, 0], [9, 0], [9, 0.5]])
    labels, similarity = MiniBatchKMeans(
        2, 2, 'euclidean', init=two[[0, 2]]).fit(two).assign(two)
    assert labels.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(
        similarity, -torch.tensor([0.0025, 0.0025, 0.0625, 0.0625]),
        atol=1e-5, rtol=0)
    cosine = MiniBatchKMeans(
        2, 2, 'cosine', init=torch.tensor([[1., 0], [0, 1]]))
    assert cosine.assign(two)[0].tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(
        cosine.assign(two)[1], F.normalize(two)[:, 0])


def test_cosine_of_zeros_is_zero():
    x = torch.cat([blobs(50, 3, 2), torch.zeros(2, 3)])
    kmeans = MiniBatchKMeans(2, 3).fit(x, seeded(0))
    assert kmeans.centroids.isfinite().all()
    assert kmeans.assign(x)[1][-2:].tolist() == [0, 0]


@pytest.mark.parametrize('metric', ['cosine', 'euclidean'])
def test_shards_are_one_tensor(metric, small_chunks):
    class Shards:
        def __iter__(self):
            yield x[:10]
            yield x[10:10]
            yield x[10:]

    x = blobs(700, 6, 5)
    whole = MiniBatchKMeans(5, 6, metric).fit(x, seeded(3))
    for shards in (Shards(), list(x.split(123))):
        parts = MiniBatchKMeans(5, 6, metric).fit(shards, seeded(3))
        torch.testing.assert_close(parts.centroids, whole.centroids)
        assert parts.counts.equal(whole.counts)


def test_points_of_any_floating_type():
    x = blobs(500, 6, 4)
    half = MiniBatchKMeans(4, 6, init=x[:4]).fit(x.half())
    assert half.centroids.dtype == torch.float32
    full = MiniBatchKMeans(4, 6, init=x[:4]).fit(x)
    torch.testing.assert_close(
        half.centroids, full.centroids, atol=2e-3, rtol=0)
    assert MiniBatchKMeans(4, 6).double().fit(
        x, seeded(0)).centroids.dtype == torch.float64


def test_partial_fit_keeps_the_mean_of_all_points_of_a_centre():
    start = torch.tensor([[0., 0], [10, 0], [99, 99]])
    kmeans = MiniBatchKMeans(3, 2, 'euclidean', init=start)
    kmeans.partial_fit(torch.tensor([[1., 0], [2, 0], [9, 0]]))
    assert kmeans.centroids.tolist() == [[1.5, 0], [9, 0], [99, 99]]
    # two old points and one new: the learning rate is 1 / 3
    kmeans.partial_fit(torch.tensor([[3., 3]]))
    assert kmeans.centroids[0].tolist() == [2, 1]
    assert kmeans.counts.tolist() == [3, 1, 0]
    kmeans.partial_fit(torch.empty(0, 2))
    assert kmeans.counts.tolist() == [3, 1, 0]


def test_partial_fit_goes_on_from_fit():
    x = blobs(400, 4, 3)
    kmeans = MiniBatchKMeans(3, 4, init=x[:3]).fit(x[:300])
    means = kmeans.sums.clone()
    counts = kmeans.counts.clone()
    labels = kmeans.assign(x[300:])[0]
    kmeans.partial_fit(x[300:])
    for k in range(3):
        new = F.normalize(x[300:].double())[labels == k]
        expected = F.normalize(means[k] + new.sum(dim=0), dim=0)
        torch.testing.assert_close(
            kmeans.centroids[k].double(), expected, atol=1e-6, rtol=0)
        assert kmeans.counts[k] == counts[k] + len(new)


def test_mini_batches_come_close_to_lloyd():
    x = blobs(20000, 8, 6)
    lloyd = MiniBatchKMeans(6, 8, 'euclidean').fit(x, seeded(0))
    kmeans = MiniBatchKMeans(6, 8, 'euclidean')
    for batch in x.split(500):
        kmeans.partial_fit(batch, seeded(0))
    assert kmeans.counts.sum() == 20000
    inertia = -kmeans.assign(x)[1].sum().item()
    assert inertia == pytest.approx(lloyd.inertia, rel=0.01)


def test_empty_cluster_takes_the_farthest_point(small_chunks):
    x = torch.cat([torch.rand(40, 2, generator=seeded(0)),
                   torch.tensor([[50., 50], [0, 30], [50, 50]])])
    start = torch.tensor([[0.5, 0.5], [-900, 0], [-900, 1]])
    once = MiniBatchKMeans(
        3, 2, 'euclidean', init=start, max_iters=1).fit(x)
    # the farthest is the first of the two at (50, 50), then the second
    assert once.centroids[1:].tolist() == [[50, 50], [50, 50]]
    assert once.counts.tolist() == [41, 1, 1]
    torch.testing.assert_close(
        once.centroids[0], x[:42][x[:42, 0] < 40].mean(dim=0))

    kmeans = MiniBatchKMeans(3, 2, 'euclidean', init=start).fit(x)
    assert kmeans.centroids[1:].tolist() == [[50, 50], [0, 30]]
    assert sorted(kmeans.counts.tolist()) == [1, 2, 40]


def test_fewer_distinct_points_than_clusters(caplog):
    x = torch.tensor([[1., 0], [0, 1]]).repeat(10, 1)
    kmeans = MiniBatchKMeans(4, 2).fit(x, seeded(0))
    assert sorted(kmeans.counts.tolist()) == [0, 0, 10, 10]
    assert kmeans.inertia == pytest.approx(0, abs=1e-5)
    assert kmeans.centroids.isfinite().all()


def test_seeding_from_a_sample_of_the_points():
    x = blobs(4000, 8, 6)
    kmeans = MiniBatchKMeans(6, 8, 'euclidean', init_size=200)
    sample = kmeans._sample([x], seeded(0))
    assert sample.shape == (200, 8)
    assert len(sample.unique(dim=0)) == 200
    assert (sample.unsqueeze(1) == x).all(dim=2).any(dim=1).all()
    inertia = kmeans.fit(x, seeded(0)).inertia
    full = MiniBatchKMeans(6, 8, 'euclidean').fit(x, seeded(0)).inertia
    assert inertia == pytest.approx(full, rel=0.01)


def test_the_generator_decides():
    x = torch.rand(300, 4, generator=seeded(0))

    def centroids(seed: int) -> Tensor:
        return MiniBatchKMeans(7, 4).fit(x, seeded(seed)).centroids

    assert centroids(0).equal(centroids(0))
    assert not centroids(0).equal(centroids(1))


def test_given_centres_are_where_every_fit_starts():
    x = blobs(300, 4, 3)
    kmeans = MiniBatchKMeans(3, 4, init=x[:3], max_iters=2)
    first = kmeans.fit(x).centroids.clone()
    assert kmeans.fit(x).centroids.equal(first)


def test_state_survives_a_checkpoint(tmp_path):
    x = blobs(300, 4, 3)
    kmeans = MiniBatchKMeans(3, 4).fit(x[:200], seeded(0))
    torch.save(kmeans.state_dict(), tmp_path / 'kmeans.pth')
    other = MiniBatchKMeans(3, 4)
    other.load_state_dict(torch.load(tmp_path / 'kmeans.pth'))
    for one in (kmeans, other):
        one.partial_fit(x[200:])
    assert other.centroids.equal(kmeans.centroids)
    assert other.counts.equal(kmeans.counts) and other.counts.sum() == 300
    assert other.assign(x)[0].equal(kmeans.assign(x)[0])


def test_other_ways_to_sum_by_cluster_agree():
    x = blobs(100, 5, 3)
    labels = torch.randint(4, (100, ), generator=seeded(0))
    weight = torch.rand(100, generator=seeded(1))
    one_hot = F.one_hot(labels, 6).float() * weight.unsqueeze(1)
    torch.testing.assert_close(
        module.sum_by_cluster(x, labels, weight, 6), one_hot.t() @ x)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu():
    x = blobs(5000, 16, 6)
    cpu = MiniBatchKMeans(6, 16, init=x[:6]).fit(x)
    gpu = MiniBatchKMeans(6, 16, init=x[:6]).to('cuda').fit(x)
    torch.testing.assert_close(
        gpu.centroids.cpu(), cpu.centroids, atol=1e-4, rtol=0)


def test_progress_is_shown(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(ProgressBar, 'update', lambda self: shown.append(1))
    kmeans = MiniBatchKMeans(3, 4)
    kmeans.fit(blobs(100, 4, 3), seeded(0), progress=True)
    assert len(shown) == kmeans.num_iters


class TestBadInput:

    def test_fewer_points_than_clusters(self):
        with pytest.raises(ValueError, match=r'4 points .* num_clusters=5'):
            MiniBatchKMeans(5, 3).fit(torch.rand(4, 3))
        with pytest.raises(ValueError, match=r'4 points .* num_clusters=5'):
            MiniBatchKMeans(5, 3).partial_fit(torch.rand(4, 3))

    def test_wrong_shape(self):
        with pytest.raises(ValueError, match=r'\(n, 3\), not \(9, 4\)'):
            MiniBatchKMeans(5, 3).fit(torch.rand(9, 4))
        with pytest.raises(ValueError, match=r'\(n, 3\), not \(2, 3, 4\)'):
            MiniBatchKMeans(5, 3).fit([torch.rand(9, 3),
                                       torch.rand(2, 3, 4)])

    @pytest.mark.parametrize('value', [float('nan'), float('inf')])
    def test_not_finite(self, value, small_chunks):
        x = torch.rand(100, 3)
        kmeans = MiniBatchKMeans(5, 3).fit(x, seeded(0))
        before = {name: value.clone()
                  for name, value in kmeans.state_dict().items()}
        bad = x.clone()
        bad[77, 1] = value
        with pytest.raises(ValueError, match='point 77 of rank 0 holds NaN'):
            kmeans.fit(bad)
        with pytest.raises(ValueError, match='point 77 of rank 0 holds NaN'):
            kmeans.partial_fit(bad)
        for name, buffer in kmeans.state_dict().items():
            assert buffer.equal(before[name]), name

    def test_read_once_iterables(self):
        with pytest.raises(TypeError, match='not a generator'):
            MiniBatchKMeans(2, 3).fit(torch.rand(9, 3) for _ in range(2))

    def test_assign_before_fit(self):
        with pytest.raises(RuntimeError, match='no centroids yet'):
            MiniBatchKMeans(2, 3).assign(torch.rand(9, 3))

    @pytest.mark.parametrize('kwargs, message', [
        (dict(metric='dot'), "not 'dot'"),
        (dict(init='random'), "not 'random'"),
        (dict(init=torch.rand(2, 4)), r'\(2, 3\).*not \(2, 4\)'),
        (dict(init=torch.full((2, 3), float('nan'))), 'NaN'),
        (dict(n_init=0), 'at least 1'),
        (dict(init_size=1), 'init_size=1'),
    ])
    def test_arguments(self, kwargs, message):
        with pytest.raises(ValueError, match=message):
            MiniBatchKMeans(2, 3, **kwargs)


def _in_process(rank: int, root: Path) -> None:
    """Cluster the share of one of two processes; shares differ in size."""
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{root}/store', rank=rank, world_size=2)
    data = torch.load(root / 'data.pth')
    share = data['x'][:700] if rank == 0 else data['x'][700:]
    torch.save(_cluster(share, data['start'], seed=rank),
               root / f'centroids{rank}.pth')
    bad = share.clone()
    if rank == 1:
        bad[5] = float('nan')
    for points, name in ((bad, 'nan'), (share[:2], 'few')):
        try:
            MiniBatchKMeans(5, 6).fit(points)
        except ValueError as error:
            (root / f'{name}{rank}.txt').write_text(str(error))
    torch.distributed.destroy_process_group()


def _cluster(x: Tensor, start: Tensor, seed: int) -> dict[str, Tensor]:
    """The centroids of everything that talks to the other processes."""
    result = {}
    for metric in ('cosine', 'euclidean'):
        for name, init in (('seeded', 'k-means++'), ('empty', start)):
            kmeans = MiniBatchKMeans(5, 6, metric, init=init, init_size=300)
            kmeans.fit(x, seeded(seed))
            result[f'{metric} {name}'] = kmeans.centroids
            result[f'{metric} {name} counts'] = kmeans.counts.float()
        kmeans = MiniBatchKMeans(5, 6, metric, init_size=300)
        kmeans.partial_fit(x, seeded(seed)).partial_fit(x * 0.9 + 0.01)
        result[f'{metric} batch'] = kmeans.centroids
    return result


def test_two_processes_are_one(tmp_path):
    x = blobs(1000, 6, 5, spread=0.8)
    start = torch.randn(5, 6, generator=seeded(0))
    start[3:] = -100 * x.mean(dim=0)  # far from every point: empty
    torch.save(dict(x=x, start=start), tmp_path / 'data.pth')
    torch.multiprocessing.start_processes(
        _in_process, (tmp_path, ), nprocs=2, start_method='fork')
    one = _cluster(x, start, seed=0)
    for rank in range(2):
        two = torch.load(tmp_path / f'centroids{rank}.pth')
        assert two.keys() == one.keys()
        for name, value in one.items():
            torch.testing.assert_close(
                two[name], value, atol=1e-5, rtol=0, msg=name)
        assert (tmp_path / f'nan{rank}.txt').read_text().startswith(
            'point 5 of rank 1 holds NaN')
        assert (tmp_path / f'few{rank}.txt').read_text().startswith(
            '4 points (of all 2 processes) are fewer than num_clusters=5')
