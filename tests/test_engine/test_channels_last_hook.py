"""ChannelsLastHook changes the layout of the weights and nothing else."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from torch import nn

from mmseg_ssl.engine import ChannelsLastHook


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8))


def test_weights_change_layout_and_keep_values():
    model, images = network(), torch.randn(2, 3, 9, 9)
    expected = model(images)
    assert expected.is_contiguous()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    ChannelsLastHook().before_run(SimpleNamespace(model=model))

    output = model(images)
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(output, expected)
    before = model[0].weight.clone()
    output.sum().backward()
    optimizer.step()
    assert not torch.equal(model[0].weight, before)


def test_wrapped_models_stay_as_they_are(monkeypatch):
    model = network()
    wrapped = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    monkeypatch.setattr(
        MMDistributedDataParallel, 'to',
        lambda *_, **__: pytest.fail('converted'), raising=False)
    nn.Module.__init__(wrapped)
    wrapped.module = model
    ChannelsLastHook().before_run(SimpleNamespace(model=wrapped))
    assert model[0].weight.is_contiguous()
