import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

V3 = dict(type='PlainDeepLabV3PlusHead', in_channels=16, in_index=1,
          channels=8, c1_in_channels=4, c1_channels=4, dilations=(1, 2, 3),
          num_classes=3, norm_cfg=dict(type='BN'))
V2 = dict(type='DeepLabV2Head', in_channels=16, in_index=1, num_classes=3,
          dilations=(1, 2), dropout_ratio=0)


@pytest.fixture
def features():
    return torch.randn(2, 4, 12, 10), torch.randn(2, 16, 6, 5)


def kernels(head):
    return [(conv.kernel_size[0], conv.dilation[0], conv.groups)
            for conv in head.modules() if isinstance(conv, nn.Conv2d)]


def test_nothing_is_separable(features):
    head = MODELS.build(V3)
    assert head(features).shape == (2, 3, 12, 10)
    found = kernels(head)
    assert {groups for _, _, groups in found} == {1}
    assert [k for k in found if k[0] == 3] == [
        (3, 2, 1), (3, 3, 1), (3, 1, 1)]


def test_fusion_is_what_the_embedding_head_taps(features):
    head = MODELS.build(dict(
        type='EmbeddingHead', head=V3, tap='fusion', embed_channels=6,
        hidden_channels=5))
    logits, embedding = head(features)
    assert head.projector[0].conv.in_channels == 8 + 4
    assert logits.shape == (2, 3, 12, 10)
    assert embedding.shape == (2, 6, 12, 10)


def test_number_of_decoder_convolutions(features):
    head = MODELS.build({**V3, 'num_convs': 2})
    assert len(head.sep_bottleneck) == 2
    assert head(features).shape == (2, 3, 12, 10)
    with pytest.raises(ValueError, match='num_convs must be at least 1'):
        MODELS.build({**V3, 'num_convs': 0})


def test_pyramid_is_the_sum_of_its_branches(features):
    head = MODELS.build(V2)
    assert kernels(head) == [(3, 1, 1), (3, 2, 1)]
    expected = sum(branch(features[1]) for branch in head.conv_seg.branches)
    torch.testing.assert_close(head(features), expected)


def test_pyramid_starts_small():
    head = MODELS.build(V2)
    head.init_weights()
    for branch in head.conv_seg.branches:
        assert 0.005 < branch.weight.std() < 0.02
        assert branch.bias.abs().max() == 0


def test_embedding_beside_the_pyramid(features):
    head = MODELS.build(dict(
        type='EmbeddingHead', head=V2, embed_channels=6, hidden_channels=5))
    logits, embedding = head(features)
    assert head.projector[0].conv.in_channels == 16
    assert logits.shape == (2, 3, 6, 5) and embedding.shape == (2, 6, 6, 5)
