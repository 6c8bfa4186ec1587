"""K-means of a stream: what it keeps, and what each point weighs."""
import pytest
import torch

from mmseg_ssl.clustering import MiniBatchKMeans, StreamedKMeans


def blobs(num: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = 5 * torch.eye(3, 4)
    which = torch.randint(3, (num, ), generator=generator)
    return centres[which] + 0.3 * torch.randn(num, 4, generator=generator)


def kmeans(metric: str = 'euclidean') -> MiniBatchKMeans:
    return MiniBatchKMeans(3, 4, metric)


def test_a_short_stream_is_a_fit():
    x = blobs(600)
    generator = torch.Generator().manual_seed(1)
    stream = StreamedKMeans(kmeans(), generator=generator)
    for batch in x.split(100):
        stream.update(batch)
    stream.finish()
    expected = kmeans().fit(x, torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        stream.kmeans.centroids, expected.centroids)
    assert torch.equal(stream.kmeans.counts, expected.counts)


@pytest.mark.parametrize('init_size', [300, 100000])
def test_every_point_weighs_the_same(init_size):
    """Blobs that never change cluster: centroids are their means."""
    x = blobs(3000)
    stream = StreamedKMeans(
        kmeans(), num_init_batches=3, init_size=init_size)
    for batch in x.split(300):
        stream.update(batch)
    stream.finish()
    assert stream.kmeans.counts.sum() == pytest.approx(3000, abs=3)
    labels, _ = stream.kmeans.assign(x)
    means = torch.stack([x[labels == k].mean(0) for k in range(3)])
    atol = 0.02 if init_size == 300 else 1e-5  # drawn, or all
    torch.testing.assert_close(
        stream.kmeans.centroids, means, atol=atol, rtol=0)


def test_memory_is_bounded_and_released():
    stream = StreamedKMeans(kmeans(), num_init_batches=4, init_size=40)
    for batch in blobs(3000).split(1000):
        stream.update(batch)
    assert [len(part) for part in stream._kept] == [10, 10, 10]
    assert all(part.untyped_storage().nbytes() == 10 * 4 * 4
               for part in stream._kept)
    stream.update(blobs(1000))
    assert stream._kept == []


def test_a_new_stream_starts_anew():
    model = kmeans()
    for shift in (0, 100):
        stream = StreamedKMeans(model)
        stream.update(blobs(200) + shift)
        stream.finish()
    assert model.counts.sum() == 200
    assert model.centroids.min() > 90


def test_bad_points():
    x = blobs(100)
    x[7, 2] = float('nan')
    stream = StreamedKMeans(kmeans(), num_init_batches=2)
    stream.update(x)
    with pytest.raises(ValueError, match='point 7 of rank 0 holds NaN'):
        stream.finish()
    stream = StreamedKMeans(kmeans(), num_init_batches=1)
    stream.update(blobs(100))
    with pytest.raises(ValueError, match='point 7 of rank 0 holds NaN'):
        stream.update(x)
    stream = StreamedKMeans(kmeans())
    stream.update(blobs(2))
    with pytest.raises(ValueError, match='2 points .* fewer than'):
        stream.finish()


def test_wrong_arguments():
    with pytest.raises(ValueError, match='num_init_batches'):
        StreamedKMeans(kmeans(), num_init_batches=0)
    with pytest.raises(ValueError, match='init_size=2 points'):
        StreamedKMeans(kmeans(), init_size=2)
