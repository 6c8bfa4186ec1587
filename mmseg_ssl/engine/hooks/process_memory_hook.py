"""Peak memory in the log of trainings without a GPU."""
import sys

from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS


def peak_process_memory() -> float:
    """The largest resident size of this process so far, in MiB.

    Not on Windows, which has no such counter in the standard library.
    """
    import resource  # exists on Unix only
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == 'darwin' else peak / 2**10


@HOOKS.register_module()
class ProcessMemoryHook(Hook):
    """Log ``memory``, as mmengine does for GPUs, where a CPU computes.

    The value is the peak resident size of the process in MiB; the memory of
    data loading workers is not in it.
    """

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Add the value to the scalars that ``LoggerHook`` writes."""
        if get_device() == 'cpu' and sys.platform != 'win32':
            runner.message_hub.update_scalar(
                'train/memory', peak_process_memory())
