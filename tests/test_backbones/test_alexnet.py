"""The AlexNet of Caffe: shapes, names, grey input, layers."""
import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from mmseg_ssl.backbones import CaffeAlexNet, receptive_fields

# Weights of Caffe's reference model.
SHAPES = {
    'conv1': (96, 3, 11, 11), 'conv2': (256, 48, 5, 5),
    'conv3': (384, 256, 3, 3), 'conv4': (384, 192, 3, 3),
    'conv5': (256, 192, 3, 3), 'fc6': (4096, 256, 6, 6),
    'fc7': (4096, 4096, 1, 1)}
SMALL = dict(channels=(8, 8, 12, 12, 8), fc_channels=16)


def on_meta(**kwargs) -> nn.Module:
    with torch.device('meta'):
        return MODELS.build(dict(type='CaffeAlexNet', **kwargs))


def test_weights_have_the_names_and_shapes_of_caffe():
    weights = on_meta().state_dict()
    expected = {f'{name}.weight': shape for name, shape in SHAPES.items()}
    expected |= {f'{name}.bias': shape[:1] for name, shape in SHAPES.items()}
    assert {name: tuple(x.shape) for name, x in weights.items()} == expected


def test_norms_take_the_place_of_biases():
    weights = on_meta(norm_cfg=dict(type='BN'), lrn=False).state_dict()
    assert not any(f'{name}.bias' in weights for name in SHAPES)
    for name, shape in SHAPES.items():
        assert weights[f'bn{name[-1]}.running_mean'].shape == shape[:1]


def test_one_cell_for_the_input_of_the_classifier():
    """227 pixels give 55, 27, 13 and 6 cells: pooling rounds up."""
    network = on_meta(out_layers=('conv1', 'pool1', 'pool2', 'conv5',
                                  'pool5', 'fc6', 'fc7'))
    maps = network(torch.empty(1, 3, 227, 227, device='meta'))
    assert [x.shape[1:] for x in maps] == [
        (96, 55, 55), (96, 27, 27), (256, 13, 13), (256, 13, 13),
        (256, 6, 6), (4096, 1, 1), (4096, 1, 1)]


@pytest.mark.parametrize('size, cells', [(224, 6), (226, 6), (240, 7)])
def test_pooling_rounds_up(size, cells):
    network = on_meta(out_layers=('pool5', ))
    assert network(torch.empty(
        1, 3, size, size, device='meta'))[0].shape[2:] == (cells, cells)


def test_field_of_the_last_layers():
    fields = receptive_fields(CaffeAlexNet(**SMALL, stem_padding=100))
    assert fields['fc6'][0] == fields['fc7'][0] == (355, 32, 13.)
    even = receptive_fields(CaffeAlexNet(**SMALL, stem_padding=98))['fc7'][0]
    assert even == (355, 32, 15.)
    no_padding = receptive_fields(CaffeAlexNet(**SMALL))['fc7'][0]
    assert no_padding.offset == 113


@pytest.mark.parametrize('stem', [
    dict(stem_padding=98), dict(stem_padding=51, stem_stride=2)])
def test_cells_share_an_image_of_the_right_size(stem):
    """A side of n strides gives n cells."""
    network = on_meta(**stem, **SMALL)
    stride = 8 * stem.get('stem_stride', 4)
    for n in (1, 2, 7, 16, 64):
        fc7, = network(torch.empty(
            1, 3, n * stride, 2 * stride, device='meta'))
        assert fc7.shape[2:] == (n, 2)


def test_dropout_takes_single_values():
    """As Caffe, not whole channels."""
    network = CaffeAlexNet(stem_padding=98, **SMALL)
    network.init_weights()
    fc7, = network(torch.randn(1, 3, 512, 512))
    kept = (fc7 != 0).flatten(2).any(dim=2)
    zeros = (fc7 == 0).flatten(2).any(dim=2)
    assert kept.all() and zeros.all()


def test_layers_nobody_asks_for_do_not_exist():
    network = on_meta(out_layers=('pool5', ))
    assert {name.split('.')[0] for name, _ in network.named_parameters()} == {
        'conv1', 'conv2', 'conv3', 'conv4', 'conv5'}


def test_grey_is_the_mean_of_the_colours():
    network = CaffeAlexNet(in_channels=1, out_layers=('conv5', ), **SMALL)
    network.init_weights()
    network.eval()
    images = torch.rand(2, 3, 80, 80)
    grey, = network(images.mean(dim=1, keepdim=True))
    colour, = network(images)
    assert torch.equal(grey, colour)
    assert colour.std() > 0


def test_response_normalisation_follows_pooling():
    """As in Caffe: alpha is divided by the five channels."""
    network = CaffeAlexNet(out_layers=('conv1', 'pool1'), **SMALL)
    network.eval()
    conv1, pool1 = network(100 * torch.rand(1, 3, 59, 59))
    pooled = nn.functional.max_pool2d(conv1, 3, 2, ceil_mode=True)
    for channel in range(8):
        near = pooled[:, max(channel - 2, 0):channel + 3]
        scale = (1 + 1e-4 / 5 * near.square().sum(dim=1))**0.75
        torch.testing.assert_close(
            pool1[:, channel], pooled[:, channel] / scale)
    plain = CaffeAlexNet(out_layers=('pool1', ), lrn=False, **SMALL)
    plain.load_state_dict(network.state_dict())
    assert not torch.equal(plain.eval()(100 * torch.rand(1, 3, 59, 59))[0],
                           pool1)


@pytest.mark.parametrize('norm_cfg', [None, dict(type='BN')])
def test_gradients_reach_every_weight(norm_cfg):
    network = CaffeAlexNet(
        norm_cfg=norm_cfg, lrn=norm_cfg is None, stem_padding=100,
        dropout_ratio=0., **SMALL)
    network.init_weights()
    network(torch.randn(2, 3, 64, 64))[-1].square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize('layers', [(), ('fc8', ), ('fc7', 'conv1'),
                                    ('conv1', 'conv1')])
def test_unknown_layers(layers):
    with pytest.raises(ValueError, match='out_layers must name layers of .*'
                       "'conv1', 'pool1'.* in this order, but got"):
        CaffeAlexNet(out_layers=layers)


def test_other_numbers_of_colours():
    with pytest.raises(ValueError, match='3, or 1 for grey, but got 2'):
        CaffeAlexNet(in_channels=2)
