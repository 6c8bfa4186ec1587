"""Blocks of a backbone that come from a proxy task."""
import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from torch import nn

from mmseg_ssl.backbones.blocks import resolution_blocks


@pytest.fixture
def segmentor(tiny_segmentor) -> ConfigDict:
    return tiny_segmentor('deeplabv3plus_mbv2-d16')


@pytest.fixture
def checkpoint(segmentor, tmp_path) -> str:
    """Weights of a proxy task, all between 0.5 and 1.5."""
    backbone = MODELS.build(segmentor.backbone)
    weights = {
        f'backbone.{name}': torch.rand(value.shape) + 0.5
        for name, value in backbone.state_dict().items()}
    weights['head.hidden.weight'] = torch.zeros(2)
    path = tmp_path / 'proxy.pth'
    torch.save(dict(state_dict=weights, meta={}), path)
    return str(path)


@pytest.fixture
def make(segmentor, checkpoint):

    def build(**transfer) -> nn.Module:
        transfer.setdefault('checkpoint', checkpoint)
        return MODELS.build(dict(
            segmentor, type='TransferEncoderDecoder', transfer=transfer))

    return build


def blocks_from(model: nn.Module, checkpoint: str) -> set[str]:
    """Blocks whose tensors are those of the checkpoint."""
    weights = torch.load(checkpoint)['state_dict']
    return {
        block
        for block, modules in resolution_blocks(model.backbone).items()
        if all(torch.equal(value, weights[f'backbone.{name}'])
               for name, value in model.backbone.state_dict().items()
               if name.startswith(tuple(f'{m}.' for m in modules))
               and not name.endswith('num_batches_tracked'))}


@pytest.mark.parametrize('transfer, expected', [
    (dict(), '12345'),
    (dict(random=['block4', 'block5']), '123'),
    (dict(freeze=['block1', 'block2'], random=['block5']), '1234'),
    (dict(freeze=['block1', 'block2', 'block3', 'block4', 'block5']),
     '12345')])
def test_blocks_start_where_they_are_told_to(make, checkpoint, transfer,
                                             expected):
    model = make(**transfer)
    model.init_weights()
    assert blocks_from(model, checkpoint) == {f'block{k}' for k in expected}


def test_without_a_checkpoint_everything_is_random(make, checkpoint):
    model = make(checkpoint=None)
    model.init_weights()
    assert blocks_from(model, checkpoint) == set()


def test_frozen_blocks_stay_and_the_others_learn(make, make_batch, train):
    model = make(freeze=['block1', 'block3'], random=['block2', 'block4',
                                                      'block5'])
    model.init_weights()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    history = train(model, [make_batch(4, 3, unlabeled=False)], steps=4)
    assert torch.tensor(history['loss']).isfinite().all()
    frozen = ('backbone.conv1.', 'backbone.layer1.', 'backbone.layer3.')
    for name, value in model.state_dict().items():
        same = torch.equal(value, before[name])
        assert same == name.startswith(frozen), name
    assert model.training
    assert not any(m.training for m in model.backbone.layer3.modules())
    assert all(m.training for m in model.backbone.layer2.modules())


def test_weights_have_the_names_of_a_plain_segmentor(make, segmentor):
    plain = MODELS.build(segmentor)
    model = make()
    assert list(model.state_dict()) == list(plain.state_dict())


def test_weights_of_a_bare_backbone(make, segmentor, checkpoint, tmp_path):
    weights = {k.removeprefix('backbone.'): v for k, v in torch.load(
        checkpoint)['state_dict'].items() if k.startswith('backbone.')}
    path = str(tmp_path / 'bare.pth')
    torch.save(weights, path)
    model = make(checkpoint=path, prefix='')
    model.init_weights()
    assert blocks_from(model, checkpoint) == {f'block{k}' for k in '12345'}


def test_resuming_comes_after_the_transfer(make, checkpoint):
    """A checkpoint of the segmentation run wins, frozen blocks included."""
    model = make(freeze=['block1'])
    model.init_weights()
    state = {k: torch.full_like(v, 2) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    assert (model.backbone.conv1.conv.weight == 2).all()


@pytest.mark.parametrize('transfer, message', [
    (dict(freeze=['block6']),
     r"transfer.freeze: unknown blocks \['block6'\]; use some of block1, "),
    (dict(freeze='block1'),
     r"transfer.freeze: must be a list such as \[block1\], not 'block1'"),
    (dict(random=['layer1']),
     r"transfer.random: unknown blocks \['layer1'\]; use some of block1, "),
    (dict(freeze=['block1', 'block2'], random=['block2']),
     r"transfer: \['block2'\] should start at random and be frozen"),
    (dict(freeze=['block1'], checkpoint=None),
     r"transfer.freeze: \['block1'\] cannot be frozen without"),
    (dict(frozen=['block1']), r"transfer: unknown keys \['frozen'\]")])
def test_contradictions_are_refused(make, transfer, message):
    with pytest.raises(ValueError, match=message):
        make(**transfer)


def test_weights_of_another_network(make, tmp_path):
    path = str(tmp_path / 'other.pth')
    torch.save(dict(state_dict={'backbone.conv1.weight': torch.zeros(1)}),
               path)
    with pytest.raises(ValueError, match=r"transfer.checkpoint='.*other.pth',"
                       r" transfer.prefix='backbone\.': the weights do not "
                       'fit MobileNetV2: conv1.conv.weight should be'):
        make(checkpoint=path).init_weights()


def test_a_proxy_that_was_not_trained(make):
    with pytest.raises(FileNotFoundError, match="transfer.checkpoint='no.pth'"
                       ' does not exist: train the proxy task first'):
        make(checkpoint='no.pth').init_weights()
    make(checkpoint='no.pth', random=['block1', 'block2', 'block3', 'block4',
                                      'block5']).init_weights()


def test_backbone_without_known_blocks(tiny_segmentor, checkpoint):
    segmentor = tiny_segmentor('segformer_mit-b0')
    with pytest.raises(ValueError, match='MixVisionTransformer are not known'):
        MODELS.build(dict(
            segmentor, type='TransferEncoderDecoder',
            transfer=dict(checkpoint=checkpoint, freeze=['block1'])))
