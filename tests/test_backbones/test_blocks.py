"""The five blocks of each architecture, frozen and transferred."""
import mmpretrain.models  # noqa: F401  (registers its backbones)
import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from mmseg_ssl.backbones import receptive_fields
from mmseg_ssl.backbones.blocks import (
    BLOCKS,
    check_blocks,
    load_blocks,
    resolution_blocks,
)

ALEXNET = dict(type='CaffeAlexNet', channels=(4, 4, 4, 4, 4), fc_channels=4)
RESNET = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4)
BACKBONES = [
    dict(type='MobileNetV2', widen_factor=0.1),
    dict(type='MobileNetV2WithLast', widen_factor=0.1, last_channels=8),
    dict(type='mmpretrain.MobileNetV2', widen_factor=0.1),
    RESNET, dict(RESNET, type='ResNetV1c'),
    dict(RESNET, norm_cfg=dict(type='GN', num_groups=2)),
    dict(RESNET, type='mmpretrain.ResNet'),
    dict(type='mmpretrain.VGG', depth=16),
    dict(type='mmpretrain.VGG', depth=16, norm_cfg=dict(type='BN')),
    ALEXNET, dict(ALEXNET, norm_cfg=dict(type='BN'), lrn=False)]


def name_of(backbone: dict) -> str:
    return backbone['type'] + '-' + backbone.get('norm_cfg', {}).get(
        'type', '')


def on_meta(backbone: dict) -> nn.Module:
    with torch.device('meta'):
        return MODELS.build(backbone)


@pytest.mark.parametrize('backbone', BACKBONES, ids=name_of)
def test_every_parameter_is_in_one_block(backbone):
    network = MODELS.build(backbone)
    blocks = resolution_blocks(network)
    assert tuple(blocks) == BLOCKS
    for name, _ in network.named_parameters():
        owners = [block for block, modules in blocks.items()
                  if any(name.startswith(f'{module}.') for module in modules)]
        assert len(owners) == 1, name


@pytest.mark.parametrize('backbone', [BACKBONES[1], RESNET,
                                      dict(type='mmpretrain.VGG', depth=16)],
                         ids=name_of)
def test_blocks_differ_in_resolution(backbone):
    """Convolutions of block k see the image at 1 / 2^k or their input."""
    network = on_meta(backbone)
    depth = 2 if 'VGG' in backbone['type'] else 1
    fields = receptive_fields(network, depth)
    strides = {
        block: {fields[name][0].stride for name in names if name in fields}
        for block, names in resolution_blocks(network).items()}
    last = [max(strides[block]) for block in BLOCKS]
    assert last == [2, 4, 8, 16, 32]


def test_some_blocks_are_loaded_with_their_statistics():
    cfg = dict(type='MobileNetV2WithLast', widen_factor=0.1, last_channels=8)
    source, target = MODELS.build(cfg), MODELS.build(cfg)
    for tensor in source.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape))
    before = {k: v.clone() for k, v in target.state_dict().items()}
    names = load_blocks(target, source.state_dict(), ('block1', 'block5'))
    assert any('running_mean' in name for name in names)
    assert {name.split('.')[0] for name in names} == {
        'conv1', 'layer1', 'layer6', 'layer7', 'conv2'}
    for name, value in target.state_dict().items():
        expected = source.state_dict() if name in names else before
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize('change, message', [
    (lambda x: x.pop('layer2.0.conv1.weight'),
     'layer2.0.conv1.weight should be .*, but is missing'),
    (lambda x: x.update({'layer2.0.conv1.weight': torch.zeros(3)}),
     r'layer2.0.conv1.weight should be .*, but is \(3,\)')])
def test_weights_that_do_not_fit(change, message):
    network = MODELS.build(RESNET)
    weights = dict(network.state_dict())
    change(weights)
    load_blocks(network, weights, ('block1', 'block2', 'block4'))
    with pytest.raises(ValueError, match='do not fit ResNet: ' + message):
        load_blocks(network, weights, ('block3', ))


def test_unknown_backbone():
    with pytest.raises(ValueError, match='blocks of Linear are not known; '
                       'they are of CaffeAlexNet, MobileNetV2, ResNet, VGG'):
        resolution_blocks(nn.Linear(2, 2))


def test_a_parameter_outside_the_blocks():
    network = MODELS.build(RESNET)
    network.extra = nn.Linear(2, 2)
    with pytest.raises(ValueError, match='ResNet: extra.weight is in none'):
        resolution_blocks(network)


def test_unknown_block():
    check_blocks(('block1', 'block5'), 'freeze')
    with pytest.raises(ValueError, match=r"freeze: unknown blocks \['layer2'"
                       r"\]; use some of block1, .*, block5"):
        check_blocks(('block1', 'layer2'), 'freeze')
