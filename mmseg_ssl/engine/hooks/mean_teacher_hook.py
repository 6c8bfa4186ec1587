"""Keep a mean teacher up to date."""
from typing import Any

import torch
from mmengine.dist import all_reduce_params, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import nn


@HOOKS.register_module()
class MeanTeacherHook(Hook):
    """Update ``model.teacher`` from ``model.student``.

    Before the first iteration the teacher is made equal to the student, whose
    weights may come from a checkpoint by then; a resumed run keeps the teacher
    of its checkpoint. After every optimiser step the teacher moves towards the
    student by ``model.teacher.update_parameters``. How fast, and what happens
    to the statistics of batch norm, is said at
    :class:`mmseg_ssl.methods.mean_teacher.TeacherEMA`.

    Of several optimisers (``OptimWrapperDict``), the one that moves the
    student has to be named ``student``.

    With several processes, running statistics that each process gathered from
    its own images are averaged first, so student and teacher are the same
    everywhere.
    """

    priority = 'NORMAL'

    def before_train(self, runner: Runner) -> None:
        """Start from the student."""
        if runner.iter == 0:
            model = _unwrap(runner.model)
            model.teacher.synchronize(model.student)

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Follow the student when the optimiser has moved it."""
        # False while gradients are being accumulated.
        if not _of_student(runner.optim_wrapper).should_update():
            return
        model = _unwrap(runner.model)
        if get_world_size() > 1:
            all_reduce_params(_local_statistics(model), op='mean')
        model.teacher.update_parameters(model.student)


def _of_student(optim_wrapper: OptimWrapper) -> OptimWrapper:
    """The optimiser that moves the student.

    Raises:
        ValueError: There are several, and none is named ``student``.
    """
    if not isinstance(optim_wrapper, OptimWrapperDict):
        return optim_wrapper
    if 'student' not in optim_wrapper:
        raise ValueError(
            'MeanTeacherHook follows the optimiser named "student", but '
            f'optim_wrapper has {sorted(optim_wrapper.keys())}')
    return optim_wrapper['student']


def _unwrap(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _local_statistics(model: nn.Module) -> list[torch.Tensor]:
    """Running statistics of the norms that do not synchronise themselves."""
    norms = [
        m for m in model.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm)
        and not isinstance(m, nn.SyncBatchNorm)
    ]
    return [
        statistic for norm in norms if norm.track_running_stats
        for statistic in (norm.running_mean, norm.running_var)
    ]
