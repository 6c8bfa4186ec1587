"""A tiny network to cluster, and a way to cluster it without a runner."""
from collections.abc import Callable

import pytest
import torch

ENCODER = dict(
    type='PixelEncoder',
    backbone=dict(
        type='ResNet', depth=18, base_channels=8, stem_channels=8,
        out_indices=(0, 1, 2, 3), norm_cfg=dict(type='BN')),
    neck=dict(type='BilinearFPN', in_channels=[8, 16, 32, 64],
              out_channels=16))
PREPROCESSOR = dict(
    type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375], bgr_to_rgb=True, size=(32, 32))


@pytest.fixture
def tiny_model() -> Callable[..., dict]:
    """Config of a small model of a type; keywords are added."""

    def make(type: str = 'PiCIE', **options) -> dict:
        cfg = dict(type=type, encoder=ENCODER, channels=16, num_clusters=3,
                   data_preprocessor=PREPROCESSOR)
        if type != 'KMeansSegmentor':
            cfg.update(view_size=(24, 24),
                       photometry=dict(blur_sigma=(0.1, 0.5)))
        return {**cfg, **options}

    return make


@pytest.fixture
def cluster() -> Callable[..., None]:
    """Do what the hook does, on one batch."""

    def run(model: torch.nn.Module, batch: dict, epoch: int = 0) -> None:
        model.freeze_snapshot()
        data = model.data_preprocessor(batch, training=True)
        features = model.view_features(**data)
        for _, view, kmeans in model.clusterings():
            kmeans.fit(features[view].permute(0, 2, 3, 1).flatten(0, 2))
        model.clustered_epoch.fill_(epoch)

    return run
