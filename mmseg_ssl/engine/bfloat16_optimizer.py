"""Training in bfloat16, on CPUs too."""
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """An ``OptimWrapper`` whose forward passes run under autocast to bfloat16.

    mmengine's ``AmpOptimWrapper`` refuses CPUs. bfloat16 has the range of
    float32, so nothing is scaled, and optimiser and weights are those of a
    training in float32. Worth it on GPUs and on CPUs that compute in bfloat16
    (AMX), for networks of dense convolutions; ``tools/benchmarks/
    training_step.py`` measures what it is worth to a config.

    Takes the arguments of ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, besides what ``OptimWrapper`` does."""
        with super().optim_context(model), torch.autocast(
                get_device(), torch.bfloat16):
            yield
