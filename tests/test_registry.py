"""Models by name through mmengine's inferencers."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import MMSegInferencer
from mmseg.registry import MODELS

import mmseg_ssl  # noqa: F401  (registers what configs name)

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize('alias, config', [
    ('supervised_scenes-10l',
     'supervised/supervised_mbv2-d16-deeplabv3plus_1xb8-1k_scenes-10l.py'),
    ('reco-classmix_scenes-10l',
     'reco/reco-classmix_mbv2-d16-deeplabv3plus_1xb4-1k_scenes-10l.py'),
])
def test_inferencer_by_name(alias, config, tmp_path):
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(ROOT / 'configs' / config).model)
    meta = dict(classes=list('abcdefgh'), palette=[[i] * 3 for i in range(8)])
    checkpoint = tmp_path / 'x.pth'
    torch.save(dict(state_dict=model.state_dict(),
                    meta=dict(dataset_meta=meta)), checkpoint)

    inferencer = MMSegInferencer(
        alias, weights=str(checkpoint), scope='mmseg_ssl', device='cpu')
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    predicted = inferencer(image)['predictions']
    assert predicted.shape == (96, 128)

    loaded = inferencer.model
    assert type(loaded) is type(model)
    assert loaded.dataset_meta == meta
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
