"""Clustering before each epoch: what it computes, resumes and refuses."""
import os
import random
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import multiprocessing

from mmseg_ssl.clustering import MiniBatchKMeans
from mmseg_ssl.engine import OfflineClusteringHook, ResumableSampler
from mmseg_ssl.visualization.cluster_sizes import draw_cluster_sizes

WORKER = Path(__file__).with_name('train_worker.py')
CLUSTERS = ('view1_3', 'view2_3')


def encoder(norm: dict) -> dict:
    return dict(
        type='PixelEncoder',
        backbone=dict(type='ResNet', depth=18, base_channels=8,
                      stem_channels=8, out_indices=(0, 1, 2, 3),
                      norm_cfg=norm),
        neck=dict(type='BilinearFPN', in_channels=[8, 16, 32, 64],
                  out_channels=8))


def picie(**options) -> dict:
    return dict(
        type='PiCIE', encoder=encoder(dict(type='BN')), channels=8,
        num_clusters=3, view_size=(24, 24), data_preprocessor=dict(
            type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375], bgr_to_rgb=True, size=(32, 32)),
        **options)


@pytest.fixture
def make_run_cfg(make_cfg, tmp_path):
    """Config of a run of some epochs of 4 iterations on 8 scenes."""

    def make(name: str = 'run', max_epochs: int = 2, **options) -> Config:
        cfg = make_cfg(
            options.pop('model', picie()), semi=False,
            work_dir=str(tmp_path / name),
            val_evaluator=dict(type='HungarianIoUMetric', _delete_=True))
        cfg.train_cfg = dict(type='ResumableEpochLoop', max_epochs=max_epochs,
                             val_interval=max_epochs)
        cfg.optim_wrapper.optimizer = dict(type='Adam', lr=1e-3)
        cfg.train_dataloader.sampler = dict(
            type='ResumableSampler', shuffle=True)
        cfg.train_dataloader.dataset = dict(
            type='UnlabeledDataset', serialize_data=False,
            data_root=cfg.train_dataloader.dataset.data_root,
            data_prefix=dict(img_path='img_dir/train'),
            pipeline=[dict(type='LoadImageFromFile'),
                      dict(type='RandomFlip', prob=0.5),
                      dict(type='PackSegInputs')])
        cfg.custom_hooks = [
            hook for hook in cfg.custom_hooks
            if hook['type'] != 'MeanTeacherHook']
        cfg.custom_hooks.append(dict(type='OfflineClusteringHook'))
        cfg.merge_from_dict(options)
        return cfg

    return make


def train(cfg: Config) -> Runner:
    cfg.experiment_name = cfg.visualizer.name = uuid.uuid4().hex
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_a_run_clusters_every_epoch(make_run_cfg):
    cfg = make_run_cfg(max_epochs=2, log_level='INFO')
    runner = train(cfg)
    model = runner.model
    assert model.clustered_epoch == 1
    for (name, _, kmeans) in model.clusterings():
        # 8 images of 6 x 6 features, each pixel once
        assert kmeans.counts.sum() == 8 * 36
        torch.testing.assert_close(
            kmeans.centroids.norm(dim=1), torch.ones(3))
        assert name in CLUSTERS
        hub = runner.message_hub.log_scalars
        assert 1 / 3 <= hub[f'train/{name}_largest'].current() <= 1
        assert hub[f'train/{name}_empty'].current() == 0
        assert len(hub[f'train/{name}_largest'].data[0]) == 2
    assert set(runner.message_hub.log_scalars) >= {
        'train/loss', 'train/loss_within', 'train/loss_cross', 'val/mIoU'}
    pictures = sorted(
        p.name for p in Path(cfg.work_dir).rglob('clusters*'))
    assert pictures == ['clusters.png_0.png', 'clusters.png_4.png']
    log, = Path(cfg.work_dir).glob('*/*.log')
    text = log.read_text()
    assert 'Clusters of view2_3 before epoch 2: [' in text
    assert not list(Path(cfg.work_dir).rglob('*label*'))


def test_weights_of_another_run_bring_no_clusters(make_run_cfg):
    """Saved in its first epoch, whose number is that of the new run's."""
    first = train(make_run_cfg(max_epochs=1))
    path = str(Path(first.work_dir) / 'first.pth')
    assert first.model.clustered_epoch == 0
    torch.save(dict(state_dict=first.model.state_dict()), path)
    second = train(make_run_cfg('second', max_epochs=1, load_from=path,
                                log_level='INFO'))
    log, = Path(second.work_dir).glob('*/*.log')
    assert 'Clusters of view1_3 before epoch 1' in log.read_text()
    assert not torch.equal(first.model.snapshot.backbone.conv1.weight,
                           second.model.snapshot.backbone.conv1.weight)


def test_clusters_are_of_the_precision_of_the_training(make_run_cfg):
    seen = []
    cfg = make_run_cfg(max_epochs=1)
    cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    cfg.experiment_name = cfg.visualizer.name = uuid.uuid4().hex
    runner = Runner.from_cfg(cfg)
    runner.model.snapshot.neck.register_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype))
    runner.train()
    # 4 batches of two views, in the clustering and in the training
    assert seen == [torch.bfloat16] * 16


def test_centroids_are_those_of_the_snapshots_features(make_run_cfg):
    """As few data: K-means on all pixels, of a fixed view."""
    calm = dict(
        geometry=dict(scale=(1.0, 1.0), flip_prob=0.0),
        photometry=dict(jitter_prob=0.0, grey_prob=0.0, blur_prob=0.0))
    cfg = make_run_cfg(model=picie(**calm))
    cfg.train_dataloader.dataset.pipeline.pop(1)
    runner = Runner.from_cfg(cfg)
    runner.train()
    model = runner.model
    features = []
    for batch in runner.train_dataloader:
        data = model.data_preprocessor(batch, training=True)
        features.append(model.view_features(**data))
    for (_, view, kmeans) in model.clusterings():
        x = torch.cat([f[view].permute(0, 2, 3, 1).flatten(0, 2)
                       for f in features])
        again = MiniBatchKMeans(
            3, 8, init=kmeans.centroids.clone(), max_iters=1).fit(x)
        torch.testing.assert_close(
            again.centroids, kmeans.centroids, atol=0.02, rtol=0)


class Interrupt(Hook):
    """End a run behind the checkpoint of an iteration, or of an epoch."""

    priority = 'LOWEST'

    def __init__(self, iters: int = 0, epochs: int = 0) -> None:
        self.iters, self.epochs = iters, epochs

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        if runner.iter + 1 == self.iters:
            raise KeyboardInterrupt

    def after_train_epoch(self, runner) -> None:
        if runner.epoch + 1 == self.epochs:
            raise KeyboardInterrupt


@pytest.mark.parametrize('by_epoch, stop', [
    (True, dict(epochs=1)),  # at the end of an epoch
    (False, dict(iters=6)),  # within one
    (False, dict(iters=4)),  # where nothing is left of one
])
def test_resume_continues_the_run(make_run_cfg, by_epoch, stop):
    whole = train(make_run_cfg('whole', max_epochs=3))
    cfg = make_run_cfg('resumed', max_epochs=3)
    cfg.default_hooks.checkpoint.update(
        by_epoch=by_epoch, interval=1 if by_epoch else 2, save_best=None)
    first = Runner.from_cfg(cfg)
    first.register_hook(Interrupt(**stop))
    with pytest.raises(KeyboardInterrupt):
        first.train()
    assert first.iter < 12
    resumed = train(make_run_cfg('resumed', max_epochs=3, resume=True))
    assert resumed.iter == whole.iter == 12
    assert resumed.model.clustered_epoch == 2
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    weight = 'encoder.neck.laterals.0.weight'
    assert not torch.equal(whole.model.state_dict()[weight],
                           first.model.state_dict()[weight])


def test_resume_with_another_sampler_or_size(make_run_cfg):
    for sampler, batch_size, error, message in (
            ('DefaultSampler', 2, TypeError, 'must be ResumableSampler'),
            ('ResumableSampler', 8, ValueError, 'iteration 6 is not in')):
        runner = Runner.from_cfg(make_run_cfg(train_dataloader=dict(
            batch_size=batch_size, sampler=dict(type=sampler))))
        runner._train_loop = loop = runner.build_train_loop(
            runner._train_loop)
        loop._epoch, loop._iter = 1, 6
        runner.model.clustered_epoch.fill_(1)
        with pytest.raises(error, match=message):
            loop.run_epoch()


def test_sampler_leaves_out_its_beginning_once():
    sampler = ResumableSampler(range(10), shuffle=True, seed=0)
    everything = list(sampler)
    sampler.skip = 4
    assert list(sampler) == everything[4:]
    assert list(sampler) == everything


def cluster_in_process(rank: int, cfg: Config, out: Path) -> None:
    """One of two processes: what it ends with goes to disk."""
    dist.init_process_group(
        'gloo', init_method=f'file://{out}/store', rank=rank, world_size=2)
    torch.save(clustered(cfg, seed=rank), out / f'rank{rank}.pth')
    dist.destroy_process_group()


def clustered(cfg: Config, seed: int) -> dict:
    """Snapshot and centroids before the first epoch."""
    runner = ready_to_cluster(cfg)
    runner.load_checkpoint(cfg.load_from)
    torch.manual_seed(seed)
    hook, = (hook for hook in runner.hooks
             if isinstance(hook, OfflineClusteringHook))
    hook.before_train_epoch(runner)
    return {key: value for key, value in runner.model.state_dict().items()
            if 'kmeans' in key or 'snapshot' in key}


def test_two_processes_agree(make_run_cfg, tmp_path):
    """Half of each batch in each process: snapshot and centroids of one."""
    calm = dict(
        geometry=dict(scale=(1.0, 1.0), flip_prob=0.0),
        photometry=dict(jitter_prob=0.0, grey_prob=0.0, blur_prob=0.0))

    def make(name: str, batch_size: int) -> Config:
        cfg = make_run_cfg(name, max_epochs=1, model=picie(**calm))
        cfg.train_dataloader.update(batch_size=batch_size, sampler=dict(
            type='ResumableSampler', shuffle=False))
        cfg.train_dataloader.dataset.pipeline.pop(1)
        # one batch to start from, one to update with, all of their pixels
        cfg.custom_hooks[-1].update(num_init_batches=1, init_size=10000)
        return cfg

    init = tmp_path / 'init.pth'
    model = Runner.from_cfg(make('init', 4)).model
    for name, buffer in model.encoder.named_buffers():
        if 'num_batches' in name:  # new norms would see half of a batch each
            buffer.fill_(1)
    torch.save(dict(state_dict=model.state_dict()), init)
    cfg = make('one', 4)
    cfg.load_from = str(init)
    # the order in which two processes would hand the points in
    cfg.train_dataloader.dataset.indices = [0, 2, 1, 3, 4, 6, 5, 7]
    one = clustered(cfg, seed=0)
    cfg = make('two', 2)
    cfg.load_from = str(init)
    multiprocessing.start_processes(
        cluster_in_process, (cfg, tmp_path), nprocs=2, start_method='fork')
    ranks = [torch.load(tmp_path / f'rank{rank}.pth') for rank in (0, 1)]
    assert len(one) > 50
    for key in one:
        assert torch.equal(ranks[0][key], ranks[1][key]), key
        torch.testing.assert_close(
            ranks[0][key], one[key], atol=1e-5, rtol=1e-5)


def test_two_processes_settle_new_norms(make_run_cfg, tmp_path):
    """Each with its images, both with the mean of their statistics."""
    cfg = make_run_cfg('two', max_epochs=1)
    cfg.load_from = str(tmp_path / 'init.pth')
    model = Runner.from_cfg(make_run_cfg('init')).model
    torch.save(dict(state_dict=model.state_dict()), cfg.load_from)
    multiprocessing.start_processes(
        cluster_in_process, (cfg, tmp_path), nprocs=2, start_method='fork')
    ranks = [torch.load(tmp_path / f'rank{rank}.pth') for rank in (0, 1)]
    settled = [key for key in ranks[0] if key.endswith('running_mean')]
    assert len(settled) >= 20
    assert all(ranks[0][key].abs().max() > 0 for key in settled)
    for key, value in ranks[0].items():
        assert torch.equal(value, ranks[1][key]), key


def test_two_processes_share_snapshot_and_centroids(
        make_run_cfg, tmp_path, project_root):
    """In later epochs, too, though each gathered its own statistics."""
    ranks = train_on_two(make_run_cfg(max_epochs=2), tmp_path, project_root)
    assert ranks[0]['clustered_epoch'] == 1
    for key, value in ranks[0].items():
        if 'kmeans' in key or 'snapshot' in key:
            assert torch.equal(value, ranks[1][key]), key


def train_on_two(cfg: Config, tmp_path: Path, root: Path) -> list[dict]:
    """Train with two processes; the state of the model of each."""
    cfg.launcher = 'pytorch'
    path = tmp_path / 'two.py'
    path.write_text(cfg.pretty_text)
    process = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone',
         '--nproc_per_node=2', str(WORKER), str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=500, env={**os.environ, 'OMP_NUM_THREADS': '1',
                          'CUDA_VISIBLE_DEVICES': '',
                          'PYTHONPATH': str(root)})
    assert process.returncode == 0, process.stdout[-4000:]
    return [torch.load(f'{cfg.work_dir}/rank{rank}.pth')['state_dict']
            for rank in (0, 1)]


def test_kmeans_needs_no_training(make_run_cfg):
    model = dict(
        type='KMeansSegmentor', encoder=dict(type='RawPixels'), channels=3,
        num_clusters=3, metric='euclidean',
        data_preprocessor=picie()['data_preprocessor'])
    cfg = make_run_cfg(model=model)
    cfg.train_cfg = dict(type='ClusteringLoop', max_epochs=1)
    runner = train(cfg)
    assert runner.iter == 0 and runner.epoch == 1
    # coloured bands, two of them alike
    assert runner.message_hub.get_scalar('val/mIoU').current() > 70


def ready_to_cluster(cfg: Config) -> Runner:
    """A runner that has not begun to train."""
    runner = Runner.from_cfg(cfg)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    return runner


def test_a_network_from_scratch_gets_statistics_first(make_run_cfg):
    runner = ready_to_cluster(make_run_cfg())
    hook = OfflineClusteringHook(num_init_batches=3, draw=False)
    hook.before_train_epoch(runner)
    norms = [module for module in runner.model.snapshot.modules()
             if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        assert norm.num_batches_tracked == 6  # three batches of two views
        assert (norm.running_var != 1).all()
    means = [norm.running_mean.clone() for norm in norms]
    runner.train_loop._epoch = 1
    hook.before_train_epoch(runner)  # not again
    for norm, mean in zip(norms, means):
        assert torch.equal(norm.running_mean, mean)


def test_fewer_batches(make_run_cfg):
    runner = ready_to_cluster(make_run_cfg())
    OfflineClusteringHook(max_batches=3, draw=False).before_train_epoch(runner)
    for _, _, kmeans in runner.model.clusterings():
        assert kmeans.counts.sum() == 3 * 2 * 36


def test_random_numbers_of_the_training_stay(make_run_cfg):
    runner = ready_to_cluster(make_run_cfg())
    hook = OfflineClusteringHook(draw=False)
    states = []
    for cluster in (False, True):
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        if cluster:
            hook.before_train_epoch(runner)
        states.append((torch.rand(1), np.random.rand(), random.random()))
    assert states[0] == states[1]


def test_features_that_are_not_finite(make_run_cfg):
    runner = ready_to_cluster(make_run_cfg())
    torch.nn.init.constant_(
        runner.model.encoder.neck.laterals[0].bias, float('nan'))
    with pytest.raises(ValueError, match='view1_3 cannot be clustered before '
                                         'epoch 1: .*NaN'):
        OfflineClusteringHook().before_train_epoch(runner)


def test_fewer_features_than_clusters(make_run_cfg):
    model = picie()
    model['num_clusters'] = 300
    with pytest.raises(ValueError, match='288 points .* fewer than '
                                         'num_clusters=300'):
        train(make_run_cfg(model=model))


def test_dead_clusters_are_reported(make_run_cfg):
    """Later batches may leave a centre of the first ones alone."""
    cfg = make_run_cfg()
    runner = ready_to_cluster(cfg)
    for counts, kmeans in zip(([5, 0, 7], [1, 1, 1]), runner.model.kmeans[0]):
        kmeans.counts.copy_(torch.tensor(counts))
    OfflineClusteringHook()._report(runner.model, runner)
    log, = Path(cfg.work_dir).glob('*/*.log')
    assert '1 of 3 clusters of view1_3 are empty' in log.read_text()
    assert 'view2_3' not in log.read_text()
    hub = runner.message_hub
    assert hub.get_scalar('train/view1_3_empty').current() == 1
    assert hub.get_scalar('train/view1_3_largest').current() == (
        pytest.approx(7 / 12))


def test_a_training_without_epochs(make_run_cfg):
    cfg = make_run_cfg()
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2,
                         val_interval=2)
    with pytest.raises(TypeError, match='ResumableEpochLoop.*not IterBased'):
        train(cfg)


def test_a_model_without_clusters(make_run_cfg, tiny_segmentor):
    cfg = make_run_cfg(model=tiny_segmentor())
    with pytest.raises(TypeError, match='cannot cluster EncoderDecoder'):
        train(cfg)


def test_histogram():
    sizes = {'a': torch.tensor([5, 0, 95]), 'b': torch.arange(60)}
    picture = draw_cluster_sizes(sizes)
    assert picture.shape == (400, 600, 3) and picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
