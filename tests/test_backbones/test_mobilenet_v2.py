"""MobileNetV2 with its last layer."""
import torch
from mmseg.registry import MODELS

from mmseg_ssl.backbones import MobileNetV2WithLast


def test_width_of_the_last_layer():
    with torch.device('meta'):
        network = MobileNetV2WithLast(widen_factor=0.75, out_indices=(1, 6))
        maps = network(torch.empty(1, 3, 64, 96))
    assert [x.shape[1:] for x in maps] == [
        (24, 16, 24), (240, 2, 3), (512, 2, 3)]


def test_same_weights_and_maps_as_mmseg():
    plain = MODELS.build(dict(
        type='MobileNetV2', widen_factor=0.1, out_indices=(3, 6)))
    network = MobileNetV2WithLast(
        widen_factor=0.1, out_indices=(3, 6), last_channels=8)
    missing, unexpected = network.load_state_dict(
        plain.state_dict(), strict=False)
    assert not unexpected
    assert {name.split('.')[0] for name in missing} == {'conv2'}
    images = torch.rand(1, 3, 64, 64)
    plain.eval()  # returns nothing in mmseg
    network.eval()
    for ours, theirs in zip(network(images), plain(images)):
        assert torch.equal(ours, theirs)
