import copy
import functools

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from torch import nn

from mmseg_ssl.engine import JointOptimWrapperDict
from mmseg_ssl.engine.hooks.mean_teacher_hook import _of_student

CONFIG = dict(
    constructor='JointOptimWrapperConstructor', type='OptimWrapper',
    a=dict(optimizer=dict(type='SGD', lr=0.1)),
    b=dict(optimizer=dict(type='Adam', lr=0.01)))


class Pair(nn.Module):
    """Two children with a loss each."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 1), nn.Linear(3, 1)
        self.register_buffer('x', torch.randn(5, 3))

    def losses(self) -> tuple[torch.Tensor, torch.Tensor]:
        return (self.a(self.x) - 1).square().mean(), self.b(self.x).exp().sum()


def make(**options) -> tuple[Pair, JointOptimWrapperDict]:
    torch.manual_seed(0)
    model = Pair()
    return model, build_optim_wrapper(model, {**CONFIG, **options})


def separate_steps(steps: int, accumulate: int = 1) -> Pair:
    """The same two optimisers, each with a backward pass of its own."""
    torch.manual_seed(0)
    model = Pair()
    optimizers = (torch.optim.SGD(model.a.parameters(), lr=0.1),
                  torch.optim.Adam(model.b.parameters(), lr=0.01))
    for step in range(1, steps + 1):
        for loss in model.losses():
            (loss / accumulate).backward()
        if step % accumulate == 0:
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    return model


def assert_same(model: Pair, expected: Pair) -> None:
    for value, other in zip(model.parameters(), expected.parameters()):
        torch.testing.assert_close(value, other)


@pytest.mark.parametrize('accumulate', [1, 2])
def test_equals_two_backward_passes(accumulate):
    model, wrapper = make(accumulative_counts=accumulate)
    wrapper.initialize_count_status(model, 0, 6)
    for step in range(1, 7):
        with wrapper.optim_context(model):
            loss = sum(model.losses())
        wrapper.update_params(loss)
        stepped = step % accumulate == 0
        assert wrapper.should_update() == stepped
        assert wrapper['b'].should_update() == stepped
        assert wrapper.should_sync() == ((step + 1) % accumulate == 0)
    assert_same(model, separate_steps(6, accumulate))


def test_options_of_one_optimiser():
    _, wrapper = make(b=dict(
        optimizer=dict(type='Adam', lr=0.01),
        clip_grad=dict(max_norm=1.0),
        paramwise_cfg=dict(custom_keys=dict(bias=dict(lr_mult=2.0)))))
    assert isinstance(wrapper, JointOptimWrapperDict)
    assert list(wrapper.keys()) == ['a', 'b']
    assert wrapper['b'].clip_grad_kwargs == dict(max_norm=1.0)
    assert wrapper['a'].clip_grad_kwargs is None
    lrs = {group['lr'] for group in wrapper['b'].optimizer.param_groups}
    assert lrs == {0.01, 0.02}


@pytest.fixture
def amp(monkeypatch):
    """Mixed precision with a loss scale, on a CPU."""
    module = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
    monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)
    monkeypatch.setattr(f'{module}.GradScaler', functools.partial(
        torch.amp.GradScaler, 'cpu'))
    return dict(type='AmpOptimWrapper',
                loss_scale=dict(init_scale=1024.0, growth_interval=2))


def test_shared_loss_scale(amp):
    """Grows every second step, under the feet of neither optimiser."""
    model, wrapper = make(**amp)
    scaler = wrapper['a'].loss_scaler
    for _ in range(6):
        wrapper.update_params(sum(model.losses()))
    assert scaler.get_scale() == 1024 * 2**3
    assert wrapper['b'].loss_scaler.get_scale() == scaler.get_scale()
    assert_same(model, separate_steps(6))


def test_overflow_skips_the_step_and_lowers_the_scale_once(amp):
    model, wrapper = make(**amp)
    before = [p.detach().clone() for p in model.parameters()]
    wrapper.update_params(sum(model.losses()) * float('inf'))
    for value, old in zip(model.parameters(), before):
        assert torch.equal(value, old)
    assert wrapper['a'].loss_scaler.get_scale() == 512
    for p in model.parameters():
        assert p.grad is None


def test_state_of_the_loss_scale_is_resumed(amp):
    model, wrapper = make(**amp)
    for _ in range(3):
        wrapper.update_params(sum(model.losses()))
    other, resumed = make(**amp)
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(copy.deepcopy(wrapper.state_dict()))
    for each, its in ((model, wrapper), (other, resumed)):
        its.update_params(sum(each.losses()))
        assert its['b'].loss_scaler.get_scale() == 4096
    assert_same(other, model)


def test_unequal_accumulation():
    with pytest.raises(ValueError, match=(
            "same accumulative_counts, but got {'a': 1, 'b': 2}")):
        make(b=dict(optimizer=dict(type='SGD', lr=0.1),
                    accumulative_counts=2))


def test_unequal_types(amp):
    with pytest.raises(ValueError, match='same type, but got'):
        make(b=dict(optimizer=dict(type='SGD', lr=0.1),
                    type='AmpOptimWrapper'))


def test_unknown_child():
    with pytest.raises(ValueError, match=(
            r"names \['c'\], but Pair has the children \['a', 'b'\]")):
        make(c=dict(optimizer=dict(type='SGD', lr=0.1)))


def test_no_child():
    with pytest.raises(ValueError, match='names no child of the model'):
        build_optim_wrapper(Pair(), dict(
            constructor='JointOptimWrapperConstructor', type='OptimWrapper'))


def test_child_without_optimiser():
    cfg = {k: v for k, v in CONFIG.items() if k != 'b'}
    with pytest.raises(ValueError, match=(
            'no optimiser for b.weight and 1 more parameters of Pair')):
        build_optim_wrapper(Pair(), cfg)
    model = Pair()
    model.b.requires_grad_(False)
    build_optim_wrapper(model, cfg)


def test_paramwise_cfg_for_all():
    with pytest.raises(ValueError, match='into the entry of one optimiser'):
        make(paramwise_cfg=dict(norm_decay_mult=0.0))


def test_teacher_follows_the_optimiser_of_the_student():
    """Of mmengine's dict, which does not say when it steps."""
    single = OptimWrapper(
        torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1))
    assert _of_student(single) is single
    assert _of_student(OptimWrapperDict(
        other=single, student=single)).should_update()
    with pytest.raises(ValueError, match=(
            r'named "student", but optim_wrapper has \[\'x\', \'y\'\]')):
        _of_student(OptimWrapperDict(y=single, x=single))
