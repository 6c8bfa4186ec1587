"""The stage that labels images and their parts."""
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmseg.registry import DATASETS
from PIL import Image
from torch import multiprocessing

from mmseg_ssl.methods.fs4 import (
    FeatureCache,
    PooledFeatures,
    PyramidLabels,
    make_pyramid_labels,
    pyramid_labels,
)

BACKBONE = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4,
                norm_cfg=dict(type='BN'))
SIZES = dict(resize=24, crop=20, shard_size=4)


@pytest.fixture
def dataset(tmp_path):
    """Ten images in three colours, the first of them with a strange part."""
    folder = tmp_path / 'images'
    folder.mkdir()
    rng = np.random.default_rng(0)
    colours = np.array([[220, 30, 30], [30, 200, 40], [40, 40, 230]])
    for i in range(10):
        pixels = colours[i % 3] + rng.integers(0, 20, (30, 40, 3))
        if i == 0:
            pixels[:15, :20] = colours[2]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f'{i}.png')
    return build_dataset(folder)


def build_dataset(folder: Path):
    return DATASETS.build(dict(
        type='UnlabeledDataset', data_prefix=dict(img_path=str(folder)),
        pipeline=[], serialize_data=False))


@pytest.fixture
def network():
    return PooledFeatures(BACKBONE)


class Colours(PooledFeatures):
    """Mean colour as feature, of which one knows what is near to what."""

    def forward(self, images):
        return F.normalize(images.float().mean((2, 3)))


def make(network, dataset, out_dir, **options) -> PyramidLabels:
    return make_pyramid_labels(
        network, dataset, str(out_dir), num_workers=0,
        **{**SIZES, 'num_clusters': 3, **options})


def test_labels_group_what_is_alike(dataset, tmp_path):
    network = Colours(BACKBONE)
    labels = make(network, dataset, tmp_path / 'out', keep=0.5)
    whole = labels.labels[:, 0]
    for i in range(1, 10):
        assert (labels.labels[i] == whole[i]).all()
        assert whole[i] == whole[(i - 1) % 3 + 1]
    assert len(set(whole[1:4])) == 3
    # the strange part goes with the images of its colour
    assert labels.labels[0, 1] == whole[2]
    assert (labels.labels[0, 2:5] == whole[3]).all()
    # active selection: the share that is nearest to its centre
    assert labels.selected.sum() == 30
    assert labels.similarity[labels.selected].min() >= (
        labels.similarity[~labels.selected].max())
    assert list(labels.names) == [f'{i}.png' for i in range(10)]

    read = PyramidLabels.load(str(tmp_path / 'out' / 'labels.npz'))
    for field in PyramidLabels._fields[:-1]:
        assert np.array_equal(getattr(read, field), getattr(labels, field))
    assert read.manifest['keep'] == 0.5 and read.manifest['crop'] == 20


def test_features_are_those_of_the_views(dataset, network, tmp_path):
    cache = FeatureCache(tmp_path / 'f', network, dataset, **SIZES)
    cache.fill(batch_size=3, num_workers=0)
    files = sorted(p.name for p in (tmp_path / 'f').glob('*.pth'))
    assert files == ['features_000000000.pth', 'features_000000004.pth',
                     'features_000000008.pth']
    features = torch.cat(list(cache.read())).float()
    assert features.shape == (10, 6, 32)
    torch.testing.assert_close(
        features.norm(dim=2), torch.ones(10, 6), atol=2e-3, rtol=0)
    view = np.asarray(Image.open(tmp_path / 'images/7.png'))[15:, 20:]
    resized = np.asarray(pyramid_labels.mmcv.imresize(view, (32, 24)))
    inputs = torch.from_numpy(resized[2:22, 6:26].copy()).permute(2, 0, 1)
    network.eval()
    with torch.no_grad():
        expected, = network(inputs[None])
    torch.testing.assert_close(features[7, 4], expected, atol=2e-3, rtol=0)


def test_a_killed_stage_continues(dataset, network, tmp_path, monkeypatch):
    whole = make(network, dataset, tmp_path / 'whole')
    seen = []
    forward = PooledFeatures.forward

    def count(self, images):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(PooledFeatures, 'forward', count)
    with pytest.raises(KeyboardInterrupt):
        make(network, dataset, tmp_path / 'killed')
    folder = tmp_path / 'killed/features'
    assert len(list(folder.glob('features_*.pth'))) == 2
    assert not (tmp_path / 'killed/labels.npz').exists()
    seen.append('continues')
    labels = make(network, dataset, tmp_path / 'killed')
    assert seen == [24, 24, 'continues', 12]
    for field in PyramidLabels._fields[:-1]:
        assert np.array_equal(getattr(labels, field), getattr(whole, field))
    # nothing is left to do
    make(network, dataset, tmp_path / 'killed')
    assert len(seen) == 4


def test_numbers_of_clusters_share_features(dataset, network, tmp_path,
                                            monkeypatch):
    first = make(network, dataset, tmp_path / '3')
    monkeypatch.setattr(  # features that are there are not made again
        network, 'forward', lambda images: pytest.fail('computed again'))
    more = make(network, dataset, tmp_path / '5', num_clusters=5,
                feature_dir=str(tmp_path / '3/features'))
    assert not (tmp_path / '5/features').exists()
    assert len(first.centroids) == 3 and len(more.centroids) == 5
    assert len(PyramidLabels.load(tmp_path / '5/labels.npz').centroids) == 5


@pytest.mark.parametrize('what, message', [
    ('network', 'network is'), ('images', 'images is'), ('crop', 'crop is 20 '
                                                         'there and 16 here')])
def test_cache_of_another_kind_is_refused(dataset, network, tmp_path, what,
                                          message):
    cache = FeatureCache(tmp_path / 'f', network, dataset, **SIZES)
    cache.fill(num_workers=0)
    before = {p: p.read_bytes() for p in (tmp_path / 'f').iterdir()}
    sizes = dict(SIZES)
    if what == 'network':
        network = PooledFeatures(BACKBONE)
    elif what == 'images':
        os.remove(tmp_path / 'images/3.png')
        dataset = build_dataset(tmp_path / 'images')
    else:
        sizes['crop'] = 16
    with pytest.raises(ValueError, match=message):
        FeatureCache(tmp_path / 'f', network, dataset, **sizes)
    assert before == {p: p.read_bytes() for p in (tmp_path / 'f').iterdir()}


def test_moved_images_are_the_same(dataset, network, tmp_path):
    FeatureCache(tmp_path / 'f', network, dataset, **SIZES)
    (tmp_path / 'images').rename(tmp_path / 'elsewhere')
    moved = build_dataset(tmp_path / 'elsewhere')
    FeatureCache(tmp_path / 'f', network, moved, **SIZES)


def test_prototypes_are_grouped(dataset, tmp_path):
    path = str(tmp_path / 'swav.pth')
    prototypes = torch.eye(3).repeat_interleave(10, 0)
    prototypes = prototypes + 0.05 * torch.rand(30, 3)
    torch.save(dict(state_dict={
        'head.prototypes.weight': prototypes, 'fc.weight': torch.eye(3),
        'fc.bias': torch.zeros(3)}), path)
    network = Colours(BACKBONE)
    centres = dict(path=path, key='head.prototypes.weight')
    labels = make(network, dataset, tmp_path / 'a', centres=centres)
    assert labels.centroids.shape == (3, 3)
    assert len(set(labels.labels[1:4, 0])) == 3
    # a classifier layer as it is
    centres = dict(path=path, key='fc.weight')
    labels = make(network, dataset, tmp_path / 'a', centres=centres,
                  num_clusters=None)
    assert (labels.labels[:, 5] == np.arange(10) % 3).all()
    with pytest.raises(KeyError, match=r"no 'head'; its matrices are .*fc.w"):
        make(network, dataset, tmp_path / 'a',
             centres=dict(path=path, key='head'))
    torch.save({'w': torch.rand(5, 7)}, path)
    with pytest.raises(ValueError, match='centres have 7 dimensions and the '
                                         'features 3'):
        make(network, dataset, tmp_path / 'a', num_clusters=None,
             centres=dict(path=path, key='w'))


@pytest.mark.parametrize('neck, options', [
    ('MoCoV2Neck', {}), ('SwAVNeck', dict(norm_cfg=dict(type='BN1d')))])
def test_projector_features(dataset, tmp_path, neck, options):
    network = PooledFeatures(BACKBONE, neck=dict(
        type=f'mmpretrain.{neck}', in_channels=32, hid_channels=16,
        out_channels=8, with_avg_pool=True, **options))
    labels = make(network, dataset, tmp_path / 'out')
    assert labels.centroids.shape == (3, 8)
    # every image has a feature of its own
    images = torch.randint(256, (4, 3, 32, 32)).float()
    features = network.eval()(images)
    assert features.shape == (4, 8) and len(features.unique(dim=0)) == 4
    torch.testing.assert_close(network(images[2:3]), features[2:3])


def test_bad_input(dataset, network, tmp_path):
    with pytest.raises(ValueError, match='10 points .* num_clusters=11'):
        make(network, dataset, tmp_path / 'a', num_clusters=11)
    with pytest.raises(ValueError, match='keep must be a share'):
        make(network, dataset, tmp_path / 'a', keep=0)
    with pytest.raises(ValueError, match='crop of 30 pixels does not fit'):
        make(network, dataset, tmp_path / 'b', crop=30)
    (tmp_path / 'images/5.png').write_text('no image')
    with pytest.raises(ValueError, match='5.png cannot be read'):
        make(network, dataset, tmp_path / 'c')
    torch.nn.init.constant_(network.backbone.layer4[1].bn2.bias, np.nan)
    (tmp_path / 'images/5.png').unlink()
    with pytest.raises(ValueError, match='NaN'):
        make(network, build_dataset(tmp_path / 'images'), tmp_path / 'd')


def _label_in_process(rank: int, root: Path, options: dict) -> None:
    """One of two processes: what it ends with goes to disk."""
    dist.init_process_group(
        'gloo', init_method=f'file://{root}/store', rank=rank, world_size=2)
    torch.manual_seed(0)
    labels = make(
        PooledFeatures(BACKBONE), build_dataset(root / 'images'),
        root / 'two', shard_size=2, **options)
    np.save(root / f'labels{rank}.npy', labels.labels)
    dist.destroy_process_group()


@pytest.mark.parametrize('centres', ['K-means', 'prototypes'])
def test_two_processes_label_as_one(dataset, tmp_path, centres):
    """Each its share; the grouping of prototypes is shared, too."""
    options = {}
    if centres == 'prototypes':
        torch.save({'w': torch.randn(9, 32)}, tmp_path / 'centres.pth')
        options = dict(centres=dict(
            path=str(tmp_path / 'centres.pth'), key='w'))
    multiprocessing.start_processes(
        _label_in_process, (tmp_path, options), nprocs=2,
        start_method='fork')
    torch.manual_seed(0)
    one = make(PooledFeatures(BACKBONE), dataset, tmp_path / 'one',
               shard_size=2, **options)
    two = PyramidLabels.load(str(tmp_path / 'two/labels.npz'))
    for labels in (two.labels, np.load(tmp_path / 'labels0.npy'),
                   np.load(tmp_path / 'labels1.npy')):
        assert np.array_equal(one.labels, labels)
    assert np.array_equal(one.selected, two.selected)
    assert one.manifest == two.manifest


CONFIG = """
pyramid_labels = dict(
    network=dict(
        type='PooledFeatures', backbone=dict(
            type='ResNet', depth=18, base_channels=4, stem_channels=4,
            norm_cfg=dict(type='BN'))),
    dataset=dict(
        type='UnlabeledDataset', data_prefix=dict(img_path={folder!r}),
        pipeline=[]),
    out_dir={out!r}, num_clusters=3, num_workers=0, resize=24, crop=20)
"""


def test_tool(dataset, tmp_path, project_root, monkeypatch):
    config = tmp_path / 'config.py'
    config.write_text(CONFIG.format(
        folder=str(tmp_path / 'images'), out=str(tmp_path / 'out')))
    tool = project_root / 'tools/dataset_tools/make_pyramid_labels.py'
    picture = tmp_path / 'picture.png'
    monkeypatch.setattr(sys, 'argv', [
        str(tool), str(config), '--picture', str(picture)])
    runpy.run_path(str(tool), run_name='__main__')
    labels = PyramidLabels.load(str(tmp_path / 'out/labels.npz'))
    assert labels.selected.sum() == 24
    assert Image.open(picture).size[0] > 500
    config.write_text('x = 1')
    with pytest.raises(SystemExit, match='has no pyramid_labels'):
        runpy.run_path(str(tool), run_name='__main__')
