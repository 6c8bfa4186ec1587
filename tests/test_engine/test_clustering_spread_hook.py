"""Several clusterings of one encoder, and how far their scores are apart."""
import json
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_ssl.visualization.run_log import read_run


@pytest.fixture
def make_run_cfg(make_cfg):
    """Config that clusters the colours of the scenes, again and again."""

    def make(max_epochs: int):
        cfg = make_cfg(
            dict(type='KMeansSegmentor', encoder=dict(type='RawPixels'),
                 channels=3, num_clusters=3, metric='euclidean',
                 data_preprocessor=dict(
                     type='SegDataPreProcessor', size=(32, 32))),
            semi=False, log_level='INFO',
            val_evaluator=dict(type='HungarianIoUMetric', _delete_=True,
                               partitions=dict(things=[0])))
        cfg.train_cfg = dict(
            type='ClusteringLoop', max_epochs=max_epochs, val_interval=1)
        cfg.train_dataloader.sampler = dict(
            type='DefaultSampler', shuffle=True)
        cfg.custom_hooks = [
            dict(type='ClusteringSpreadHook'),
            dict(type='OfflineClusteringHook', draw=False, init_size=20)]
        cfg.experiment_name = cfg.visualizer.name = uuid.uuid4().hex
        return cfg

    return make


class Watch(Hook):
    """Keep the centroids of each clustering."""

    def __init__(self) -> None:
        self.centroids: list[torch.Tensor] = []

    def after_train_epoch(self, runner: Runner) -> None:
        kmeans = runner.model.kmeans[0][0]
        self.centroids.append(kmeans.centroids.clone())


def test_mean_and_spread_of_the_scores(make_run_cfg):
    cfg = make_run_cfg(max_epochs=3)
    runner = Runner.from_cfg(cfg)
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    report = json.loads(Path(cfg.work_dir, 'clusterings.json').read_text())
    assert {'mIoU', 'aAcc', 'things/mIoU', 'things/aAcc'} <= set(report)
    assert 'time' not in report
    for name, scores in report.items():
        history = runner.message_hub.get_scalar(f'val/{name}').data[0]
        assert scores['values'] == pytest.approx(list(history))
        assert len(scores['values']) == 3
        assert scores['mean'] == pytest.approx(np.mean(history))
        assert scores['std'] == pytest.approx(np.std(history, ddof=1))
    # tables of results show the mean, and rank by mIoU
    run = read_run('clustered', cfg.work_dir)
    for name in ('mIoU', 'things/aAcc'):
        for key in ('mean', 'std'):
            curve = run.val[f'{key}/{name}']
            assert len(curve.values) == 3
            assert curve.last == pytest.approx(report[name][key], rel=1e-3)
    assert run.metric == 'mIoU'
    # other random numbers, other clusters
    first, *others = watch.centroids
    assert not any(torch.equal(first, other) for other in others)
    log, = Path(cfg.work_dir).glob('*/*.log')
    assert 'deviation of 3 clusterings: aAcc: ' in log.read_text()


def test_one_clustering_has_no_spread(make_run_cfg):
    cfg = make_run_cfg(max_epochs=1)
    Runner.from_cfg(cfg).train()
    report = json.loads(Path(cfg.work_dir, 'clusterings.json').read_text())
    assert report['mIoU']['std'] == 0 and len(report['mIoU']['values']) == 1
