"""BFloat16OptimWrapper computes in bfloat16 and learns in float32."""
import pytest
import torch
from mmseg.registry import OPTIM_WRAPPERS
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_ssl.engine import BFloat16OptimWrapper


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 5, 1))


@pytest.fixture
def wrapper(network) -> BFloat16OptimWrapper:
    return OPTIM_WRAPPERS.build(dict(
        type='BFloat16OptimWrapper',
        optimizer=torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)))


def loss_of(logits: Tensor, images: Tensor) -> Tensor:
    """Which channel is brightest; something that can be learnt."""
    return F.cross_entropy(logits.float(), images[:, :, 1:-1, 1:-1].argmax(1))


def test_computes_in_bfloat16_and_keeps_float32(network, wrapper):
    images = torch.rand(4, 3, 12, 12)
    exact = network(images)
    loss_of(exact, images).backward()
    expected = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    with wrapper.optim_context(network):
        logits = network(images)
    assert logits.dtype == torch.bfloat16
    assert 0 < (logits - exact).abs().max() < 0.05
    loss_of(logits, images).backward()
    for param, grad in zip(network.parameters(), expected):
        assert param.dtype == param.grad.dtype == torch.float32
        if param.dim() > 1:  # the bias in front of a norm has no gradient
            error = (param.grad - grad).norm() / grad.norm()
            assert 0 < error < 0.05
    assert network(images).dtype == torch.float32  # outside the context


def test_learns_and_accumulates_as_its_base_class(network):
    wrapper = BFloat16OptimWrapper(
        torch.optim.SGD(network.parameters(), 0.1, momentum=0.9),
        accumulative_counts=2)
    images, losses, weights = torch.rand(4, 3, 12, 12), [], []
    for _ in range(40):
        with wrapper.optim_context(network):
            loss = loss_of(network(images), images)
        wrapper.update_params(loss)
        losses.append(loss.item())
        weights.append(network[0].weight.clone())
    assert losses[-1] < 0.5 * losses[0]
    assert torch.equal(weights[1], weights[2])  # every second one steps
    assert not torch.equal(weights[2], weights[3])
    state = wrapper.optimizer.state[network[0].weight]
    assert state['momentum_buffer'].dtype == torch.float32
