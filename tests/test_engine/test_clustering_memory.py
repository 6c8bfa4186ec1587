"""Clustering many images keeps no more than clustering few."""
import gc
import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_ssl.engine import OfflineClusteringHook

BATCH, SIDE = 500, 4


def bytes_of_tensors() -> int:
    """Memory of all tensors of this process that Python knows of."""
    gc.collect()
    storages = {}
    for thing in gc.get_objects():
        if type(thing) in (torch.Tensor, torch.nn.Parameter):
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


class Images:
    """Batches of random images; counts memory when the last one is due."""

    def __init__(self, num: int) -> None:
        self.num_batches = num // BATCH
        self.generator = torch.Generator().manual_seed(0)
        self.bytes_at_end = 0

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[dict]:
        sample = SegDataSample(metainfo=dict(
            img_shape=(SIDE, SIDE), ori_shape=(SIDE, SIDE)))
        for index in range(self.num_batches):
            if index == self.num_batches - 1:
                self.bytes_at_end = bytes_of_tensors()
            images = torch.randint(
                256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8,
                generator=self.generator)
            yield dict(inputs=list(images), data_samples=[sample] * BATCH)


@pytest.fixture
def cluster():
    """Cluster so many images; returns the bytes kept, and the model."""

    def run(num: int) -> tuple[int, torch.nn.Module]:
        model = MODELS.build(dict(
            type='KMeansSegmentor', encoder=dict(type='RawPixels'),
            channels=3, num_clusters=4, metric='euclidean',
            data_preprocessor=dict(
                type='SegDataPreProcessor', size=(SIDE, SIDE))))
        images = Images(num)
        runner = SimpleNamespace(
            epoch=0, logger=logging.getLogger('memory'),
            train_loop=SimpleNamespace(dataloader=images))
        hook = OfflineClusteringHook(num_init_batches=1, init_size=2000)
        model.freeze_snapshot()
        hook._cluster(model, runner)
        return images.bytes_at_end, model

    return run


def test_a_hundred_thousand_images_need_no_more_than_a_thousand(cluster):
    few, _ = cluster(1_000)
    many, model = cluster(100_000)
    kmeans, = (kmeans for _, _, kmeans in model.clusterings())
    assert kmeans.counts.sum() == pytest.approx(100_000 * SIDE**2, abs=4)
    # as many features as one image in fifty would already be more
    assert abs(many - few) < 100_000 // 50 * SIDE**2 * 3 * 4
