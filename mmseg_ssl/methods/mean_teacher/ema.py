"""The teacher: an exponential moving average of the student."""
import torch
from mmengine.model import MomentumAnnealingEMA
from torch import nn

NORM_STATISTICS = ('own', 'student')


class TeacherEMA(MomentumAnnealingEMA):
    r"""Moving average of a student, with ReCo's warm-up.

    After the t-th update (t = 0, 1, ...) with momentum
    :math:`m_t = \max(m, 1 / (1 + t))`, the weight of the new value,

    .. math:: \theta' \leftarrow (1 - m_t)\, \theta' + m_t\, \theta

    so the first update copies the student. This is ReCo's
    :math:`\alpha = \min(1 - 1 / (t + 1), 1 - m)`.

    Args:
        model (nn.Module): The student.
        momentum (float): Final weight of the new value, m. Defaults to 0.01.
        norm_statistics (str): Where the statistics of batch norm come from.
            ``'own'``: the teacher makes pseudo-labels with the statistics of
            its own batch and averages those itself (its norm layers are in
            train mode), as the released code of ReCo does. ``'student'``: the
            student's running statistics are copied, and the teacher always
            predicts with them (eval mode). They were gathered with the
            student's present weights and on its augmented images.
            Defaults to ``'own'``.
    """

    def __init__(self,
                 model: nn.Module,
                 momentum: float = 0.01,
                 norm_statistics: str = 'own') -> None:
        if norm_statistics not in NORM_STATISTICS:
            raise ValueError(
                f'norm_statistics must be one of {NORM_STATISTICS}, but got '
                f'{norm_statistics!r}')
        super().__init__(model, momentum=momentum, gamma=1)
        self.norm_statistics = norm_statistics
        self.train()  # the copy came in the student's mode

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move towards the student by one step.

        The momentum stays a tensor: reading ``steps`` on the host for every
        parameter would wait for the device as often. It is float32, in which
        the steps of a warm-up are exact: not all devices have float64.
        """
        momentum = (self.gamma / (self.gamma + self.steps.float())).clamp(
            min=self.momentum)
        for average, source in zip(self.module.parameters(),
                                   model.parameters()):
            average.lerp_(source, momentum.to(average.dtype))
        if self.norm_statistics == 'student':
            for average, source in zip(self.module.buffers(),
                                       model.buffers()):
                average.copy_(source)
        self.steps += 1

    def synchronize(self, model: nn.Module) -> None:
        """Make the teacher equal to the student, and restart the warm-up."""
        self.module.load_state_dict(model.state_dict())
        self.steps.zero_()

    def train(self, mode: bool = True) -> 'TeacherEMA':
        """Keep the teacher in eval mode, but for norms with own statistics."""
        super().train(False)
        if self.norm_statistics == 'own':
            for module in self.module.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.train(mode)
        return self
