"""Convolution weights in the layout that convolutions compute fastest in."""
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep the weights of the model channels-last (NHWC in memory).

    Activations follow the weights, shapes stay as they are. What it is worth
    to a step on a CPU, ``tools/benchmarks/cpu_step.py`` measures.

    Does nothing under ``DistributedDataParallel``, which has laid out its
    buckets of gradients when hooks are called first.
    """

    def before_run(self, runner: Runner) -> None:
        """Convert the parameters in place; optimisers keep their hold."""
        if not is_model_wrapper(runner.model):
            runner.model.to(memory_format=torch.channels_last)
