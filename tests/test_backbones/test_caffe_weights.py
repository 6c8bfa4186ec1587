"""Weights of Caffe: the converted network computes what Caffe's does."""
import numpy as np
import pytest
import torch
from mmengine.runner import CheckpointLoader
from torch import nn

from mmseg_ssl.backbones import CaffeAlexNet, LayeredVGG
from mmseg_ssl.backbones.caffe_weights import (
    CaffeInput,
    OurInput,
    convert_caffe_weights,
    plain_layers,
    read_caffe_archive,
)

BN = dict(type='BN')
OURS = OurInput((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
EQUAL = OurInput((120., 110., 100.), (50., 50., 50.))
SIZES = dict(channels=(4, 6, 8, 4, 6), fc_channels=5)


def alexnet(**options) -> CaffeAlexNet:
    """A small network with random weights and statistics."""
    net = CaffeAlexNet(**{**SIZES, **options}).eval()
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            tensor.normal_(std=0.3)
        if name.endswith(('running_var', 'bn1.weight')):
            tensor.abs_().add_(0.5)
    return net


def to_archive(net: nn.Module, norm: str = 'batch_{}') -> dict:
    """The blobs of a network, as Caffe has them."""
    archive = {}
    for name, layer in plain_layers(net).items():
        archive[name] = {0: layer.conv.weight.detach().numpy()}
        if layer.conv.bias is not None:
            archive[name][1] = layer.conv.bias.detach().numpy()
        if layer.norm is not None:
            factor = 4.0  # means are sums in Caffe
            archive[norm.format(name)] = {
                0: factor * layer.norm.running_mean.numpy(),
                1: factor * layer.norm.running_var.numpy(),
                2: np.array([factor])}
            archive[f'scale_{name}'] = {
                0: layer.norm.weight.detach().numpy(),
                1: layer.norm.bias.detach().numpy()}
    return archive


def pixels() -> torch.Tensor:
    return torch.randint(256, (1, 3, 227, 231)).float()  # RGB


def seen_by_caffe(rgb: torch.Tensor, caffe: CaffeInput,
                  channels: int = 3) -> torch.Tensor:
    x = caffe.scale * (rgb if caffe.rgb else rgb.flip(1))
    if channels == 1:
        x = x.mean(dim=1, keepdim=True)
    return x - torch.tensor(caffe.mean).view(1, -1, 1, 1)


def seen_by_us(rgb: torch.Tensor, ours: OurInput) -> torch.Tensor:
    x = rgb if ours.rgb else rgb.flip(1)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1)
                 for values in (ours.mean, ours.std))
    return (x - mean) / std


@pytest.mark.parametrize('ours', [
    OURS, OurInput((100., 110., 120.), (50., 60., 70.), rgb=False)])
@pytest.mark.parametrize('caffe', [
    CaffeInput(), CaffeInput((0.4, 0.5, 0.6), 1 / 255, rgb=True)])
@pytest.mark.parametrize('norm_cfg', [None, BN])
def test_same_outputs_for_the_same_pixels(ours, caffe, norm_cfg):
    source = alexnet(norm_cfg=norm_cfg)
    own = alexnet(norm_cfg=norm_cfg)
    result = convert_caffe_weights(own, to_archive(source), caffe, ours)
    assert result.missing == result.unused == []
    assert set(result.weights) == set(own.state_dict())
    images = pixels()
    with torch.no_grad():
        expected, = source(seen_by_caffe(images, caffe))
        actual, = own(seen_by_us(images, ours))
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('norm', [
    'batch_{}', 'bn_{}', '{}_bn', '{}/bn'])
def test_norms_can_be_folded(norm):
    source = alexnet(norm_cfg=BN)
    own = alexnet()
    result = convert_caffe_weights(
        own, to_archive(source, norm), CaffeInput(), OURS)
    assert result.unused == []
    images = pixels()
    with torch.no_grad():
        expected, = source(seen_by_caffe(images, CaffeInput()))
        actual, = own(seen_by_us(images, OURS))
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


def test_norms_that_caffe_has_not_start_as_the_identity():
    source = alexnet()
    own = alexnet(norm_cfg=BN)
    convert_caffe_weights(own, to_archive(source), CaffeInput(), OURS)
    images = pixels()
    with torch.no_grad():
        expected, = source(seen_by_caffe(images, CaffeInput()))
        actual, = own(seen_by_us(images, OURS))
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('theirs, own_channels, ours', [
    (1, 3, OURS), (1, 1, EQUAL), (3, 1, EQUAL)])
def test_grey(theirs, own_channels, ours):
    source, own = alexnet(in_channels=theirs), alexnet(
        in_channels=own_channels)
    caffe = CaffeInput((0.4488, ) * theirs, 1 / 255)
    convert_caffe_weights(own, to_archive(source), caffe, ours)
    images = pixels()
    if theirs == 3:  # a network for colours sees a grey image
        images = images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    with torch.no_grad():
        expected, = source(seen_by_caffe(images, caffe, theirs))
        actual, = own(seen_by_us(images, ours))
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


def test_vgg_with_fully_connected_layers():
    """fc6 and fc7 are matrices in Caffe; there is a classifier, too."""
    make = dict(depth=11, fc_channels=2, norm_cfg=BN, out_layers=('fc7', ))
    source, own = LayeredVGG(**make).eval(), LayeredVGG(**make).eval()
    archive = to_archive(source)
    assert list(archive)[:2] == ['conv1_1', 'batch_conv1_1']
    for name in ('fc6', 'fc7'):
        archive[name][0] = archive[name][0].reshape(2, -1)
    archive['fc8'] = {0: np.zeros((10, 2))}
    result = convert_caffe_weights(
        own, archive, CaffeInput((0., 0., 0.), rgb=True),
        OurInput((0., 0., 0.), (1., 1., 1.)))
    assert result.unused == ['fc8'] and result.missing == []
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(own(images), source(images))


def test_layers_that_are_missing_keep_their_weights():
    archive = to_archive(alexnet())
    del archive['fc6'], archive['conv3']
    own = alexnet()
    before = own.fc6.weight.clone()
    result = convert_caffe_weights(own, archive, CaffeInput(), OURS)
    assert result.missing == ['conv3', 'fc6']
    assert torch.equal(own.fc6.weight, before)
    assert set(result.weights) == {
        f'{name}.{kind}' for name in ('conv1', 'conv2', 'conv4', 'conv5',
                                      'fc7') for kind in ('weight', 'bias')}


@pytest.mark.parametrize('change, message', [
    (dict(conv2={0: np.zeros((6, 2, 3, 3))}),
     'conv2 is 6x2x3x3 in the archive, but 6x2x5x5 in the backbone'),
    (dict(fc6={0: np.zeros((5, 7))}), 'fc6 is 5x7 .* 5x6x6x6 in the back'),
    (dict(conv2={0: np.zeros((6, 2, 5, 5)), 1: np.zeros(5)}),
     'the bias of conv2 has 5 values .* 6 channels'),
    (dict(bn_conv2={0: np.ones(3), 1: np.ones(3)}),
     'the norm of conv2 has 3 channels in the archive, but .* has 6'),
    (dict(conv1={0: np.zeros((4, 1, 11, 11))}),
     'sees 1 channels, but the mean of its input has 3'),
])
def test_what_does_not_fit(change, message):
    archive = {**to_archive(alexnet()), **change}
    with pytest.raises(ValueError, match=message):
        convert_caffe_weights(alexnet(), archive, CaffeInput(), OURS)


def test_other_backbones():
    with pytest.raises(ValueError, match='not for a Linear'):
        plain_layers(nn.Linear(1, 1))


def test_archives(tmp_path):
    path = tmp_path / 'a.npz'
    np.savez(path, **{'conv1.0': np.ones(2), 'conv1/1': np.zeros(3),
                      'conv2/bn.weight': np.ones(1)})
    archive = read_caffe_archive(path)
    assert list(archive) == ['conv1', 'conv2/bn']
    assert [len(archive['conv1'][i]) for i in (0, 1)] == [2, 3]
    np.savez(path, conv1=np.ones(2))
    with pytest.raises(ValueError, match="'conv1' does not name a layer and"):
        read_caffe_archive(path)
    path.write_text('text')
    with pytest.raises(ValueError, match='is no archive of NumPy'):
        read_caffe_archive(path)
    with pytest.raises(FileNotFoundError, match='no such archive: .*b.npz'):
        read_caffe_archive(tmp_path / 'b.npz')


# --- the command ------------------------------------------------------------

TOOL = 'tools/model_converters/caffe_npz_to_torch.py'
CONFIG = """
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[120.] * 3, std=[60.] * 3,
        bgr_to_rgb=True),
    backbone=dict(
        type='CaffeAlexNet', channels=(4, 6, 8, 4, 6), fc_channels=5,
        norm_cfg=dict(type='SyncBN')))
"""


@pytest.fixture
def files(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(CONFIG)
    blobs = {f'{layer}.{i}': blob
             for layer, of_layer in to_archive(alexnet()).items()
             for i, blob in of_layer.items()}
    return config, tmp_path / 'a.npz', blobs


def call_main(monkeypatch, project_root, *arguments) -> None:
    import runpy
    import sys
    monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, arguments)])
    runpy.run_path(str(project_root / TOOL))['main']()


def test_command(files, tmp_path, monkeypatch, project_root, capsys):
    config, path, blobs = files
    np.savez(path, **blobs, **{'fc8.0': np.zeros(1)})
    out = tmp_path / 'new/out.pth'
    call_main(monkeypatch, project_root, path, config, out)
    assert capsys.readouterr().out.splitlines()[-3:] == [
        '42 tensors converted', 'not used: fc8', str(out)]
    saved = CheckpointLoader.load_checkpoint(str(out))['state_dict']
    expected = {f'backbone.{name}' for name in alexnet(
        norm_cfg=BN).state_dict()}
    assert set(saved) == expected
    assert torch.equal(saved['backbone.bn2.running_mean'],
                       -torch.from_numpy(blobs['conv2.1']))


def test_command_names_what_is_missing(files, tmp_path, monkeypatch,
                                       project_root, capsys):
    config, path, blobs = files
    np.savez(path, **{name: blob for name, blob in blobs.items()
                      if not name.startswith('fc')})
    arguments = (monkeypatch, project_root, path, config, tmp_path / 'o.pth')
    with pytest.raises(SystemExit, match='has no layers fc6, fc7; it has con'):
        call_main(*arguments)
    assert not (tmp_path / 'o.pth').exists()
    call_main(*arguments, '--partial')
    assert 'start afresh: fc6, fc7' in capsys.readouterr().out
