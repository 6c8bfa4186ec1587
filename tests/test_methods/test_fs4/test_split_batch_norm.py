"""Batch normalisation by groups of samples."""
import pytest
import torch
from mmcv.cnn import build_norm_layer
from mmengine.registry import DefaultScope
from torch import nn

from mmseg_ssl.methods.fs4 import SplitBatchNorm2d


def images(num: int) -> torch.Tensor:
    return torch.randn(num, 3, 4, 5) * torch.rand(num, 1, 1, 1) + 1


def test_each_group_is_normalised_by_itself():
    x = images(8)
    norm = SplitBatchNorm2d(3, group_size=4)
    plain = [nn.BatchNorm2d(3) for _ in range(2)]
    expected = torch.cat([bn(part) for bn, part in zip(plain, x.split(4))])
    torch.testing.assert_close(norm(x), expected)
    for name in ('running_mean', 'running_var'):
        mean = (getattr(plain[0], name) + getattr(plain[1], name)) / 2
        torch.testing.assert_close(getattr(norm, name), mean)
    assert norm.num_batches_tracked == 1
    # the order decides what a sample is normalised with: the shuffle of keys
    order = torch.tensor([0, 5, 2, 7, 4, 1, 6, 3])
    assert not torch.allclose(norm(x[order]), norm(x)[order], atol=1e-2)
    torch.testing.assert_close(
        plain[0](x[order]), plain[0](x)[order])


def test_statistics_over_all_batches():
    batches = images(4), images(4)
    norm = SplitBatchNorm2d(3, group_size=2, momentum=None)
    for batch in batches:
        norm(batch)
    torch.testing.assert_close(
        norm.running_mean, torch.cat(batches).mean((0, 2, 3)))


def test_gradient_is_that_of_the_groups():
    x = images(4).double().requires_grad_()
    norm = SplitBatchNorm2d(3, group_size=2).double()
    norm(x)[:2].square().sum().backward()
    assert x.grad[2:].abs().max() == 0
    assert torch.autograd.gradcheck(norm, (images(4).double()
                                           .requires_grad_(), ))


def test_weights_of_batch_norm_fit_and_evaluation_is_the_same():
    plain = nn.BatchNorm2d(3)
    plain(images(6))
    norm = SplitBatchNorm2d(3)
    norm.load_state_dict(plain.state_dict())
    x = images(5)  # no whole group: in evaluation there are none
    torch.testing.assert_close(norm.eval()(x), plain.eval()(x))
    assert set(norm.state_dict()) == set(plain.state_dict())


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmseg'])
def test_configs_can_name_it(scope):
    with DefaultScope.overwrite_default_scope(scope):
        name, norm = build_norm_layer(
            dict(type='SplitBatchNorm2d', group_size=4), 6, postfix=1)
    assert name == 'bn1' and norm.group_size == 4
    assert 'group_size=4' in repr(norm)


def test_bad_input():
    with pytest.raises(ValueError, match='batch of 6 samples .*group_size=4'):
        SplitBatchNorm2d(3, group_size=4)(images(6))
    with pytest.raises(ValueError, match='group_size must be at least 1'):
        SplitBatchNorm2d(3, group_size=0)
    with pytest.raises(ValueError, match='track_running_stats=True'):
        SplitBatchNorm2d(3, track_running_stats=False)
