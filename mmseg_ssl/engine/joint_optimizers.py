"""Several optimisers that share one forward and one backward pass."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import (
    AmpOptimWrapper,
    OptimWrapperDict,
    build_optim_wrapper,
)
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import Tensor, nn


class _FollowingScaler:
    """A gradient scaler as its second user sees it.

    ``GradScaler.update`` has to be called once, after all optimisers have
    stepped; here it is left to the first user.

    Args:
        scaler (torch.amp.GradScaler): What everything else is done by.
    """

    def __init__(self, scaler: Any) -> None:
        self._scaler = scaler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scaler, name)

    def update(self, new_scale: float | None = None) -> None:
        """Do nothing."""


class JointOptimWrapperDict(OptimWrapperDict):
    """Optimisers that step together after one backward pass.

    mmengine's ``OptimWrapperDict`` leaves open who calls ``backward``. Here
    the sum of all losses is sent back once, so the model is trained by the
    ``train_step`` that mmengine has for one optimiser, under
    DistributedDataParallel as well. That is right where each loss reaches
    the parameters that it is meant for and no others: the model has to cut
    the graph, as :class:`mmseg_ssl.methods.s4gan.S4GAN` does.

    With mixed precision all optimisers share the first one's loss scaler.

    Args:
        **optim_wrappers (OptimWrapper): At least one, of one type and with
            the same ``accumulative_counts``.

    Raises:
        ValueError: Their types or ``accumulative_counts`` differ.
    """

    def __init__(self, **optim_wrappers: Any) -> None:
        super().__init__(**optim_wrappers)
        self._leader, *self._followers = self.values()
        for what in ('type', 'accumulative_counts'):
            found = {name: _describe(wrapper)[what]
                     for name, wrapper in self.items()}
            if len(set(found.values())) > 1:
                raise ValueError(
                    f'optimisers that step together need the same {what}, '
                    f'but got {found}')
        if isinstance(self._leader, AmpOptimWrapper):
            for follower in self._followers:
                follower.loss_scaler = _FollowingScaler(
                    self._leader.loss_scaler)

    def update_params(self,
                      loss: Tensor,
                      step_kwargs: dict | None = None,
                      zero_kwargs: dict | None = None) -> None:
        """Send the sum of all losses back; step if enough have gathered."""
        self.backward(self._leader.scale_loss(loss))
        if self.should_update():
            self.step(**(step_kwargs or {}))
            self.zero_grad(**(zero_kwargs or {}))

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Gradients of all parameters in one pass."""
        self._leader.backward(loss, **kwargs)
        for follower in self._followers:
            follower._inner_count = self._leader.inner_count

    def step(self, **kwargs: Any) -> None:
        """Step all; the leader is last, for it updates the loss scale."""
        for wrapper in (*self._followers, self._leader):
            wrapper.step(**kwargs)

    def zero_grad(self, **kwargs: Any) -> None:
        """Forget the gradients of all parameters."""
        for wrapper in self.values():
            wrapper.zero_grad(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Accumulation and mixed precision, the same for all."""
        with self._leader.optim_context(model):
            yield

    def initialize_count_status(self, model: nn.Module, init_counts: int,
                                max_counts: int) -> None:
        """Tell all at which iteration training starts and ends."""
        for wrapper in self.values():
            wrapper.initialize_count_status(model, init_counts, max_counts)

    def should_update(self) -> bool:
        """Whether the last backward pass completed a step."""
        return self._leader.should_update()

    def should_sync(self) -> bool:
        """Whether the next backward pass completes a step."""
        return self._leader.should_sync()


def _describe(wrapper: Any) -> dict[str, Any]:
    return dict(
        type=type(wrapper).__name__,
        accumulative_counts=wrapper._accumulative_counts)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class JointOptimWrapperConstructor:
    """Build one optimiser for each named child of a model.

    .. code:: python

        optim_wrapper = dict(
            constructor='JointOptimWrapperConstructor',
            type='OptimWrapper',  # and what else all have in common
            student=dict(optimizer=dict(type='SGD', lr=0.01)),
            discriminator=dict(optimizer=dict(type='Adam', lr=1e-4)))

    Each entry with an ``optimizer`` goes to the child of that name, with what
    mmengine knows for a single one (``clip_grad``, ``paramwise_cfg``). A
    schedule in ``param_scheduler`` holds for all of them, or is a dict of
    lists by name.

    Args:
        optim_wrapper_cfg (dict): The config without ``constructor``.
        paramwise_cfg (dict, optional): Has to be None: it belongs into the
            entry of one child.

    Raises:
        ValueError: ``paramwise_cfg`` is given, no child or one that the model
            lacks is named, or a trainable parameter would have no optimiser.
    """

    def __init__(self,
                 optim_wrapper_cfg: dict,
                 paramwise_cfg: dict | None = None) -> None:
        if paramwise_cfg is not None:
            raise ValueError(
                'optim_wrapper.paramwise_cfg: put it into the entry of one '
                'optimiser, e.g. optim_wrapper.student.paramwise_cfg')
        self.children = {
            name: value for name, value in optim_wrapper_cfg.items()
            if isinstance(value, dict) and 'optimizer' in value}
        self.common = {name: value
                       for name, value in optim_wrapper_cfg.items()
                       if name not in self.children}
        if not self.children:
            raise ValueError(
                'optim_wrapper names no child of the model; write e.g. '
                'student=dict(optimizer=dict(...))')

    def __call__(self, model: nn.Module) -> JointOptimWrapperDict:
        """Build the optimisers for a model, wrapped for DDP or not."""
        net: Any = model.module if is_model_wrapper(model) else model
        self._check_coverage(net)
        return JointOptimWrapperDict(**{
            name: build_optim_wrapper(
                getattr(net, name), {**self.common, **cfg})
            for name, cfg in self.children.items()})

    def _check_coverage(self, model: nn.Module) -> None:
        names = dict(model.named_children())
        unknown = sorted(set(self.children) - set(names))
        if unknown:
            raise ValueError(
                f'optim_wrapper names {unknown}, but {type(model).__name__} '
                f'has the children {sorted(names)}')
        alone = [name for name, parameter in model.named_parameters()
                 if parameter.requires_grad
                 and name.partition('.')[0] not in self.children]
        if alone:
            raise ValueError(
                f'no optimiser for {alone[0]} and {len(alone) - 1} more '
                f'parameters of {type(model).__name__}; optim_wrapper names '
                f'{sorted(self.children)}')
