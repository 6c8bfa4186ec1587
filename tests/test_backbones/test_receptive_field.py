"""Receptive fields against the paper's Table 1 and against gradients."""
import mmpretrain.models  # noqa: F401  (registers its backbones)
import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_ssl.backbones import (
    ReceptiveField,
    output_receptive_field,
    receptive_fields,
)

RESNET = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4)


def gradient_support(network: nn.Module, size: int, cell: int) -> list[int]:
    """Rows of the image that the gradient of a cell reaches: first, last."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    # float64 and faint: no saturated ReLU6, no vanished corner; a slope, so
    # that the largest of a pooling window is unique
    slope = 1e-6 * (1 + torch.rand(1, 3, size, 64, dtype=torch.float64))
    image = slope.requires_grad_()
    output = network.double()(image)
    while not isinstance(output, Tensor):
        output = output[-1]
    output[..., cell, :].sum().backward()
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    return [rows[0].item(), rows[-1].item()]


def last(network: nn.Module) -> ReceptiveField:
    """Field of the last layer reported, the same along both axes."""
    height, width = list(receptive_fields(network).values())[-1]
    assert height == width
    return height


@pytest.mark.parametrize('backbone, layer, size', [
    (dict(type='mmpretrain.AlexNet'), 'features', 195),
    (dict(type='mmpretrain.VGG', depth=16), 'features.17', 212),
    # its 1x1 convolutions stride, as in the Caffe and TF-slim models
    (dict(type='ResNet', depth=101, style='caffe', base_channels=4,
          stem_channels=4), 'layer4', 1027)])
def test_table_1_of_the_paper(backbone, layer, size):
    height, width = receptive_fields(MODELS.build(backbone))[layer]
    assert height == width
    assert (height.size, height.stride) == (size, 32)


@pytest.mark.parametrize('backbone, size, cell', [
    (dict(type='MobileNetV2', widen_factor=0.1), 520, 8),
    (dict(RESNET, num_stages=2, strides=(1, 2), dilations=(1, 1),
          out_indices=(1, )), 200, 12),
    (dict(RESNET, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4),
          contract_dilation=True), 600, 36)])
def test_what_a_gradient_reaches(backbone, size, cell):
    """No max pooling takes part: its gradient reaches one pixel only."""
    network = MODELS.build(backbone)
    for name, module in network.named_modules():
        if isinstance(module, nn.MaxPool2d):
            setattr(network, name, nn.AvgPool2d(3, 2, 1))
    field = last(network)
    first = field.first_pixel + cell * field.stride
    assert first >= 0 and first + field.size <= size
    assert gradient_support(network, size, cell) == [first,
                                                     first + field.size - 1]


def test_fields_by_hand():
    """Kernels 4 and 2 leave the centres between pixels."""
    network = nn.Sequential(
        nn.Conv2d(3, 2, 4, stride=3, padding=1), nn.BatchNorm2d(2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(2, 2, 3, dilation=2))
    fields = receptive_fields(network)
    assert [fields[name][0] for name in '01234'] == [
        ReceptiveField(4, 3, 0.5)] * 3 + [
        ReceptiveField(7, 6, 2.0), ReceptiveField(31, 6, 14.0)]
    assert fields['4'][0].first_pixel == -1
    assert output_receptive_field(network) == fields['4']


def test_field_of_the_last_of_several_maps():
    network = MODELS.build(dict(
        type='MobileNetV2', widen_factor=0.1, out_indices=(1, 3)))
    rows, columns = output_receptive_field(network)
    assert rows == columns == receptive_fields(network)['layer4'][0]


def test_axes_differ():
    network = nn.Sequential(nn.Conv2d(3, 4, (1, 7), (1, 2), (0, 3)))
    assert receptive_fields(network)['0'] == (
        ReceptiveField(1, 1, 0.0), ReceptiveField(7, 2, 0.0))


class Branches(nn.Module):
    """A shortcut and two convolutions of unequal reach, joined."""

    def __init__(self):
        super().__init__()
        self.near = nn.Conv2d(3, 3, 3, padding=1)
        self.far = nn.Conv2d(3, 3, 7, padding=3)

    def forward(self, x):
        return torch.cat([self.near(x) + x, self.far(x)], dim=1)


def test_branches_are_joined():
    network = nn.Sequential(Branches(), nn.Conv2d(6, 1, 3))
    fields = receptive_fields(network)
    assert fields['0'][0] == ReceptiveField(7, 1, 0.0)
    assert fields['1'][0] == ReceptiveField(9, 1, 1.0)


def test_union():
    """Pixels -2 to 6 and -5 to -3."""
    field = ReceptiveField(9, 1, 2.0)
    assert field.union(ReceptiveField(1, 1, 0.0)) == field
    assert field.union(ReceptiveField(3, 1, -4.0)) == ReceptiveField(
        12, 1, 0.5)
    with pytest.raises(ValueError, match=r'unequal strides .* 1 and 2'):
        field.union(ReceptiveField(3, 2, 0.0))


def test_blocks_are_reported_on_request():
    network = MODELS.build(RESNET)
    stages = receptive_fields(network)
    blocks = receptive_fields(network, depth=2)
    assert 'layer1.1' not in stages
    assert blocks['layer3.1'] == blocks['layer3'] == stages['layer3']
    assert set(stages) < set(blocks)


def test_the_network_and_its_weights_are_untouched():
    network = MODELS.build(RESNET)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    receptive_fields(network)
    assert network.training
    assert not any(m._forward_hooks for m in network.modules())
    after = network.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())


@pytest.mark.parametrize('layer, operation', [
    (nn.Upsample(scale_factor=2), 'upsample_nearest2d'),
    (nn.AdaptiveAvgPool2d(1), 'mean'),
    (nn.ConvTranspose2d(3, 3, 2, 2), 'convolution')])
def test_operations_without_a_field_are_named(layer, operation):
    with pytest.raises(ValueError, match=f'1 applies .*{operation}'):
        receptive_fields(nn.Sequential(nn.Conv2d(3, 3, 3), layer))
