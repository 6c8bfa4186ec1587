import pytest
import torch
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from torch import nn

from mmseg_ssl.methods.reco import EmbeddingHead
from mmseg_ssl.methods.reco.embedding_head import (
    on_grid_of,
    probability_on_grid_of,
)

HEADS = ['deeplabv3plus_r18-d16', 'deeplabv3plus_mbv2-d16', 'fcn_r18-d16',
         'pspnet_r18-d16', 'segformer_mit-b0']
CASES = [(base, 'classifier') for base in HEADS] + [
    (base, 'fusion') for base in HEADS if base.startswith('deeplabv3plus')]
LOSS = dict(type='RegionalContrastLoss', num_queries=16, num_keys=32)


@pytest.fixture
def make_segmentor(tiny_segmentor):
    """Build a tiny segmentor whose head is wrapped."""

    def make(base='deeplabv3plus_r18-d16', dropout=0.0, num_classes=3,
             **kwargs) -> nn.Module:
        cfg = tiny_segmentor(base, num_classes)
        cfg.decode_head.dropout_ratio = dropout
        cfg.decode_head = dict(
            type='EmbeddingHead', head=cfg.decode_head, embed_channels=12,
            hidden_channels=8, **kwargs)
        return MODELS.build(cfg)

    return make


def features_of(segmentor: nn.Module, batch_size: int = 2) -> tuple:
    return segmentor.extract_feat(torch.randn(batch_size, 3, 32, 32))


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('base, tap', CASES)
def test_logits_are_those_of_the_wrapped_head(
        make_segmentor, base, tap, training):
    segmentor = make_segmentor(base, tap=tap)
    segmentor.train(training)
    head = segmentor.decode_head
    features = features_of(segmentor)
    logits, embedding = head(features)
    assert torch.equal(logits, head.head(features))
    assert embedding.shape == (2, 12, *logits.shape[2:])
    # nothing is left behind in the wrapped head
    assert not any(m._forward_pre_hooks for m in head.modules())


def test_classifier_tap_is_what_the_classifier_sees(make_segmentor):
    head = make_segmentor('fcn_r18-d16', dropout=0.9).decode_head
    head.train()
    features = [None, None, None, torch.randn(2, 64, 4, 4)]
    seen = []
    head.head.dropout.register_forward_pre_hook(
        lambda _, args: seen.append(args[0]))
    _, embedding = head(features)
    # before dropout: the features do not miss whole channels
    torch.testing.assert_close(embedding, head.projector(seen[0]))


def test_fusion_tap_is_what_the_decoder_convolutions_see():
    head = MODELS.build(dict(
        type='EmbeddingHead', tap='fusion', embed_channels=16,
        head=dict(type='DepthwiseSeparableASPPHead', in_channels=32,
                  in_index=1, channels=256, dilations=(1, 6), num_classes=5,
                  c1_in_channels=8, c1_channels=48)))
    assert head.projector[0].conv.in_channels == 304  # the paper's
    seen = []
    head.head.sep_bottleneck.register_forward_pre_hook(
        lambda _, args: seen.append(args[0]))
    head.train()
    _, embedding = head((torch.randn(2, 8, 16, 16), torch.randn(2, 32, 4, 4)))
    assert seen[0].shape == (2, 304, 16, 16)
    torch.testing.assert_close(embedding, head.projector(seen[0]))
    assert embedding.shape == (2, 16, 16, 16)


def test_projector_is_the_papers():
    head = MODELS.build(dict(
        type='EmbeddingHead',
        head=dict(type='FCNHead', in_channels=8, channels=24, num_classes=5,
                  norm_cfg=dict(type='GN', num_groups=4))))
    conv, norm, activation = head.projector[0].children()
    last = head.projector[1]
    assert (conv.in_channels, conv.out_channels) == (24, 256)
    assert conv.kernel_size == (3, 3) and last.kernel_size == (1, 1)
    assert isinstance(norm, nn.GroupNorm)  # the wrapped head's
    assert isinstance(activation, nn.ReLU)
    assert last.out_channels == 256


@pytest.mark.parametrize('base', HEADS)
def test_prediction_makes_no_embedding(make_segmentor, base):
    segmentor = make_segmentor(base)
    segmentor.eval()
    calls = []
    segmentor.decode_head.projector.register_forward_hook(
        lambda *_: calls.append(1))
    images = torch.randn(2, 3, 32, 32)
    results = segmentor.predict(images)
    assert not calls
    metas = [dict(img_shape=(32, 32))] * 2
    expected = segmentor.decode_head.head.predict(
        segmentor.extract_feat(images), metas, {})
    for sample, logits in zip(results, expected):
        torch.testing.assert_close(sample.seg_logits.data, logits)
    segmentor.decode_head(segmentor.extract_feat(images))
    assert calls  # the hook would have seen it


@pytest.mark.parametrize('base, tap', CASES)
def test_gradient_of_the_embedding_reaches_the_backbone(
        make_segmentor, base, tap):
    segmentor = make_segmentor(base, tap=tap)
    segmentor.train()
    _, embedding = segmentor.decode_head(features_of(segmentor))
    embedding.square().mean().backward()
    first = next(segmentor.backbone.parameters())
    assert first.grad.abs().sum() > 0
    assert all(p.grad is not None
               for p in segmentor.decode_head.projector.parameters())
    assert segmentor.decode_head.head.conv_seg.weight.grad is None


def test_unknown_tap(make_segmentor):
    with pytest.raises(ValueError, match=r"'classifier', 'fusion'.*'logits'"):
        make_segmentor(tap='logits')


def test_fusion_needs_a_head_with_fusion(make_segmentor):
    with pytest.raises(ValueError, match="FCNHead has no 'sep_bottleneck'"):
        make_segmentor('fcn_r18-d16', tap='fusion')


def test_a_head_without_classifier_is_refused():
    head = dict(type='EncHead', in_channels=[8, 8], in_index=(0, 1),
                channels=8, num_codes=4, num_classes=5)
    MODELS.build(dict(type='EmbeddingHead', head=head))  # has conv_seg
    head = dict(type='FPNHead', in_channels=[8], in_index=[0], channels=8,
                feature_strides=[4], num_classes=5)

    @MODELS.register_module(force=True)
    class HeadWithoutClassifier(MODELS.get('FPNHead')):

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            del self.conv_seg

    head['type'] = 'HeadWithoutClassifier'
    with pytest.raises(ValueError, match="has no 'conv_seg' module"):
        MODELS.build(dict(type='EmbeddingHead', head=head))


@pytest.mark.parametrize(
    'base, num_classes', [(HEADS[0], 2), *((base, 3) for base in HEADS)])
def test_a_plain_segmentor_trains_with_the_contrast_loss(
        make_segmentor, make_batch, train, base, num_classes):
    segmentor = make_segmentor(
        base, num_classes=num_classes, loss_contrast=LOSS)
    batch = make_batch(4, num_classes, unlabeled=False)
    history = train(segmentor, [batch], steps=30)
    # contrast falls slowly: only pixels that are still hard are queries
    for key, share in (('decode.loss_ce', 0.8), ('decode.loss_reco', 0.95)):
        values = torch.tensor(history[key])
        assert values.isfinite().all()
        assert values[-5:].mean() < share * values[0], key


def test_losses_are_those_of_head_and_contrast(make_segmentor, make_batch):
    segmentor = make_segmentor(loss_contrast=LOSS)
    segmentor.train()
    data = segmentor.data_preprocessor(
        make_batch(unlabeled=False), training=True)
    head = segmentor.decode_head
    features = segmentor.extract_feat(data['inputs'])
    torch.manual_seed(1)
    losses = head.loss(features, data['data_samples'], {})
    torch.manual_seed(1)
    logits, embedding = head(features)
    labels = torch.cat([s.gt_sem_seg.data for s in data['data_samples']])
    expected = head.loss_contrast(
        embedding, labels[:, 2::4, 2::4], logits.softmax(1))
    assert embedding.shape[2:] == (8, 8)
    torch.testing.assert_close(losses['loss_reco'], expected)
    expected = head.head.loss(features, data['data_samples'], {})
    torch.testing.assert_close(losses['loss_ce'], expected['loss_ce'])


def test_without_contrast_loss_the_head_has_only_its_own(
        make_segmentor, make_batch):
    segmentor = make_segmentor()
    data = segmentor.data_preprocessor(
        make_batch(unlabeled=False), training=True)
    losses = segmentor(**data, mode='loss')
    assert set(losses) == {'decode.loss_ce', 'decode.acc_seg'}


@pytest.mark.parametrize('loader', ['torch', 'mmengine'])
@pytest.mark.parametrize('base', ['deeplabv3plus_r18-d16', 'segformer_mit-b0'])
def test_a_checkpoint_of_the_wrapped_head_loads(
        make_segmentor, tiny_segmentor, tmp_path, base, loader):
    plain = MODELS.build(tiny_segmentor(base))
    segmentor = make_segmentor(base)
    if loader == 'torch':
        result = segmentor.load_state_dict(plain.state_dict(), strict=False)
        assert not result.unexpected_keys
        assert result.missing_keys  # torch does not miss batch counters
        assert all('.projector.' in key for key in result.missing_keys)
    else:
        path = tmp_path / 'plain.pth'
        torch.save(dict(state_dict=plain.state_dict()), path)
        with pytest.raises(RuntimeError) as error:
            load_checkpoint(segmentor, str(path), strict=True)
        message = str(error.value)
        assert 'unexpected' not in message
        missing = message.split(':')[-1].split(',')
        assert all('.projector.' in key for key in missing)
    for module in ('backbone', 'decode_head'):
        own = getattr(segmentor, module)
        own = own.head if isinstance(own, EmbeddingHead) else own
        for key, value in getattr(plain, module).state_dict().items():
            assert torch.equal(own.state_dict()[key], value)


def test_own_checkpoint_loads(make_segmentor):
    segmentor, other = (make_segmentor(loss_contrast=LOSS) for _ in range(2))
    other.load_state_dict(segmentor.state_dict())
    for key, value in segmentor.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)


def test_labels_are_picked_at_the_centres_of_the_grid():
    labels = torch.arange(64).view(1, 8, 8)
    embedding = torch.zeros(1, 5, 2, 2)
    picked = on_grid_of(embedding, labels)
    assert picked.tolist() == [[[18, 22], [50, 54]]]
    assert picked.dtype == labels.dtype
    confidence = torch.rand(2, 6, 9)
    embedding = torch.zeros(2, 5, 6, 9)
    assert torch.equal(on_grid_of(embedding, confidence), confidence)
    assert on_grid_of(embedding, torch.full((2, 11, 7), 255)).eq(255).all()


def test_probability_has_no_gradient_and_sums_to_one():
    logits = torch.randn(2, 4, 3, 5, requires_grad=True)
    embedding = torch.zeros(2, 7, 6, 10)
    prob = probability_on_grid_of(embedding, logits)
    assert prob.shape == (2, 4, 6, 10) and not prob.requires_grad
    torch.testing.assert_close(prob.sum(1), torch.ones(2, 6, 10))
    torch.testing.assert_close(
        probability_on_grid_of(embedding[:, :, :3, :5], logits),
        logits.detach().softmax(1))
