"""ContextAwareEmbedding against its definition, written down with loops."""
import math
import runpy
import subprocess
import sys
from argparse import Namespace

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_ssl.methods.fs4 import ContextAwareEmbedding
from mmseg_ssl.methods.fs4 import context_aware_embedding as module

SCALARS = ['log_theta_alpha', 'log_theta_beta', 'log_theta_gamma', 'log_w1',
           'log_w2']
SWITCHES = [(True, True), (True, False), (False, True)]


def make(channels: int = 4, **kwargs) -> ContextAwareEmbedding:
    torch.manual_seed(0)
    cae = ContextAwareEmbedding(channels, **kwargs).double()
    for name, parameter in cae.named_parameters():
        if name in SCALARS:  # away from the start, all different
            parameter.data += torch.randn_like(parameter) / 4
    return cae


def make_input(*size: int, channels: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(
        2, channels, *size, dtype=torch.float64, generator=generator)
    image = torch.randn(2, 3, *(4 * side for side in size),
                        dtype=torch.float64, generator=generator)
    return features, image


def slow_reference(cae: ContextAwareEmbedding, features: Tensor,
                   image: Tensor) -> Tensor:
    """Pair by pair, with the normalised product of exp(s / T) and k."""
    height, width = features.shape[2:]
    colors = F.avg_pool2d(image, 4)
    cells = [(y, x) for y in range(height) for x in range(width)]
    output = features.clone()
    for b in range(len(features)):
        for yi, xi in cells:
            weights, values = [], []
            for yj, xj in cells:
                weight = torch.tensor(1., dtype=torch.float64)
                f_i, f_j = features[b, :, yi, xi], features[b, :, yj, xj]
                if cae.use_features:
                    cosine = f_i @ f_j / f_i.norm() / f_j.norm()
                    weight = weight * (cosine / cae.temperature).exp()
                if cae.use_raw:
                    theta = [getattr(cae, name).exp() for name in SCALARS]
                    alpha, beta, gamma, w1, w2 = theta
                    place = (yi - yj)**2 + (xi - xj)**2
                    color = (colors[b, :, yi, xi]
                             - colors[b, :, yj, xj]).square().sum()
                    k1 = torch.exp(-place / (2 * alpha**2)
                                   - color / (2 * beta**2))
                    k2 = torch.exp(-place / (2 * gamma**2))
                    weight = weight * (w1 * k1 + w2 * k2)
                weights.append(weight)
                values.append(f_j)
            weights = torch.stack(weights)
            context = (weights / weights.sum()) @ torch.stack(values)
            output[b, :, yi, xi] = (
                features[b, :, yi, xi] + cae.proj.bias
                + cae.proj.weight[:, :, 0, 0] @ context)
    return output


@pytest.fixture
def small_chunks(monkeypatch):
    """Two or three queries at a time."""
    monkeypatch.setattr(module, 'CHUNK_BYTES', 8000)


@pytest.mark.parametrize('use_features, use_raw', SWITCHES)
@pytest.mark.parametrize('temperature', [1, 0.2])
def test_matches_the_definition(use_features, use_raw, temperature,
                                small_chunks):
    cae = make(use_features=use_features, use_raw=use_raw,
               temperature=temperature)
    features, image = make_input(3, 5)
    torch.testing.assert_close(
        cae(features, image), slow_reference(cae, features, image))


def test_gradients_are_those_of_the_definition(small_chunks):
    cae = make()
    features, image = make_input(3, 4)
    features.requires_grad_()
    weight = torch.randn_like(features)
    inputs = [features, *cae.parameters()]
    fast, slow = (torch.autograd.grad((output * weight).sum(), inputs)
                  for output in (cae(features, image),
                                 slow_reference(cae, features, image)))
    for ours, theirs in zip(fast, slow):
        torch.testing.assert_close(ours, theirs)
        assert ours.abs().max() > 1e-4


@pytest.mark.parametrize('chunk_bytes', [8000, 2**26])
def test_gradcheck_of_the_scalars(chunk_bytes, monkeypatch):
    monkeypatch.setattr(module, 'CHUNK_BYTES', chunk_bytes)
    cae = make()
    features, image = make_input(2, 3)
    scalars = [getattr(cae, name).detach().requires_grad_()
               for name in SCALARS]

    def run(features: Tensor, *values: Tensor) -> Tensor:
        return functional_call(
            cae, dict(zip(SCALARS, values)), (features, image))

    assert torch.autograd.gradcheck(
        run, (features.requires_grad_(), *scalars))


@pytest.mark.parametrize('use_features, use_raw', SWITCHES)
def test_switches(use_features, use_raw):
    cae = make(use_features=use_features, use_raw=use_raw)
    assert [hasattr(cae, name) for name in SCALARS] == 5 * [use_raw]
    features, image = make_input(3, 4)
    other = cae(features, image.flip(0))
    assert torch.equal(cae(features, image), other) != use_raw
    # every parameter takes part: nothing is left for DDP to wait for
    cae(features, image).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0
               for p in cae.parameters())


def test_starts_at_work_and_with_the_documented_values():
    cae = ContextAwareEmbedding(8)
    assert cae.proj.weight.abs().sum() > 0
    values = [getattr(cae, name).exp().item() for name in SCALARS]
    assert values == pytest.approx([5, 0.23, 3, 1, 1])
    features, image = torch.randn(1, 8, 3, 3), torch.randn(1, 3, 48, 48)
    assert (cae(features, image) - features).abs().mean() > 0.01


def test_descent_learns_the_kernel():
    """The output of other scalars can be reached by gradient descent."""
    target, cae = make(), make()
    features, image = make_input(4, 5)
    for name in SCALARS:
        getattr(target, name).data += 0.5 - SCALARS.index(name) / 4
    optimizer = torch.optim.Adam(
        [getattr(cae, name) for name in SCALARS], lr=0.05)
    losses = []
    for _ in range(60):
        loss = F.mse_loss(cae(features, image),
                          target(features, image).detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_small_bandwidths_stay_finite():
    cae = make()
    for name in SCALARS[:3]:
        getattr(cae, name).data.fill_(math.log(1e-3))
    features, image = make_input(3, 4)
    features.requires_grad_()
    output = cae(features, image)
    # only the cell itself is left
    torch.testing.assert_close(output, features + cae.proj(features))
    output.sum().backward()
    assert features.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in cae.parameters())


GROWTH = '''
import resource, torch
from mmseg_ssl.methods.fs4 import ContextAwareEmbedding

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

features = torch.randn(1, 64, 80, 80, requires_grad=True)
cae, image = ContextAwareEmbedding(64), torch.randn(1, 3, 128, 128)
before = peak()
cae(features, image).sum().backward()
print(peak() - before)
'''


class LargestTensor(TorchDispatchMode):
    """Remember the size in bytes of the largest tensor that is made."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) \
                else [result]:
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest,
                                   tensor.numel() * tensor.element_size())
        return result


def test_no_matrix_is_larger_than_its_share_of_a_chunk(monkeypatch):
    """Neither in the forward pass nor in the backward pass."""
    monkeypatch.setattr(module, 'CHUNK_BYTES', 2**20)
    cae = ContextAwareEmbedding(2)
    features = torch.randn(1, 2, 24, 32, requires_grad=True)
    image = torch.randn(1, 3, 48, 64)
    with LargestTensor() as seen:
        cae(features, image).sum().backward()
    whole = (24 * 32)**2 * 4
    assert seen.largest <= 2**20 / module.LIVE_MATRICES < whole / 20


def test_process_does_not_grow_with_the_chunks():
    """Few channels: what is kept of a chunk is small and easily in the way."""
    grown = subprocess.run(
        [sys.executable, '-c', GROWTH], check=True, capture_output=True,
        text=True).stdout
    # 3 matrices of all pairs
    assert float(grown.splitlines()[-1]) < 3 * 80**4 * 4 / 2**20


def test_benchmark_compares_two_ways_to_the_same(project_root, monkeypatch):
    tool = runpy.run_path(str(project_root / 'tools/benchmarks/cae_memory.py'))
    # what the tool changes is put back after the test
    monkeypatch.setattr(module, 'InChunks', module.InChunks)
    monkeypatch.setattr(module, 'CHUNK_BYTES', 2**12)
    sizes = dict(height=64, width=96, stride=16, batch_size=2, channels=4)
    chunks, whole = (tool['measure'](Namespace(one=method, **sizes))
                     for method in tool['METHODS'])
    assert module.InChunks is tool['Whole'] and chunks['cells'] == 24
    assert chunks['gradients'] == pytest.approx(whole['gradients'], rel=1e-5)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_low_precision(dtype):
    cae = make().float()
    features, image = (part.float() for part in make_input(6, 7))
    expected = cae(features, image)
    with torch.autocast('cpu', dtype=dtype):
        output = cae(features.to(dtype), image)
    torch.testing.assert_close(
        output.float(), expected, atol=0.05, rtol=0.05)


def test_bandwidths_start_where_they_are_told_to():
    cae = ContextAwareEmbedding(
        4, theta_alpha=3.5, theta_beta=0.5, theta_gamma=2)
    for name, value in zip(SCALARS, (3.5, 0.5, 2, 1, 1)):
        assert getattr(cae, name).exp().item() == pytest.approx(value)
    # narrower kernels on a small map: far from the mean of all cells
    features, image = make_input(14, 14)
    image.zero_()  # one colour: places decide
    alone = torch.zeros_like(features)
    alone[:, :, 7, 7] = 1
    shares = []
    for options in ({}, dict(theta_alpha=3.5, theta_gamma=2.0)):
        cae = ContextAwareEmbedding(
            4, use_features=False, **options).double()
        context = cae._context(alone, image)
        shares.append(context[0, 0, 7, 7] / context[0, 0, 0, 0])
    assert shares[1] > 4 * shares[0] > 4


def test_builds_from_a_config():
    init_default_scope('mmseg')
    cae = MODELS.build(dict(
        type='ContextAwareEmbedding', channels=8, use_raw=False))
    assert not cae.use_raw


def test_bad_input():
    with pytest.raises(ValueError, match='both False'):
        ContextAwareEmbedding(4, use_features=False, use_raw=False)
    with pytest.raises(ValueError, match='temperature must be > 0, not 0'):
        ContextAwareEmbedding(4, temperature=0)
    with pytest.raises(ValueError, match='theta_gamma must be > 0, not 5.0'):
        ContextAwareEmbedding(4, theta_gamma=-1)
    with pytest.raises(ValueError, match=r'not \(3, 3, 8, 8\)'):
        ContextAwareEmbedding(4)(
            torch.rand(2, 4, 2, 2), torch.rand(3, 3, 8, 8))
