"""Batch normalisation by groups, as several GPUs would do it."""
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn


# The registry that norm layers of all packages are looked up in.
@MODELS.register_module()
class SplitBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that takes each group of a batch by itself.

    `MoCo <https://arxiv.org/abs/1911.05722>`_ (section 3.3) hands the keys to
    other GPUs than their queries, so that statistics of a batch do not tell
    which of them belong together. In one process all of them have the same
    statistics, whatever their order; groups of the batch stand in for GPUs.

    In training, consecutive samples are normalised by the statistics of their
    group, and the running statistics move once, towards the mean of those of
    the groups. In evaluation it is the batch normalisation that it inherits
    from, with its parameters and buffers, so weights can be exchanged.

    Args:
        num_features (int): Channels, C.
        group_size (int): Samples of a group. Defaults to 8.
        **kwargs: Of ``nn.BatchNorm2d``, which must track statistics.
    """

    def __init__(self,
                 num_features: int,
                 group_size: int = 8,
                 **kwargs: float | bool) -> None:
        super().__init__(num_features, **kwargs)
        if group_size < 1:
            raise ValueError(f'group_size must be at least 1, not '
                             f'{group_size}')
        if not self.track_running_stats:
            raise ValueError('SplitBatchNorm2d needs track_running_stats=True')
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, (N, C, H, W) -> (N, C, H, W).

        Raises:
            ValueError: In training, if the batch does not consist of whole
                groups.
        """
        if not self.training:
            return super().forward(x)
        if len(x) % self.group_size:
            raise ValueError(
                f'a batch of {len(x)} samples cannot be split into groups of '
                f'group_size={self.group_size}: choose a batch size that is '
                'a multiple of it, and drop_last=True')
        groups = x.split(self.group_size)
        self.num_batches_tracked.add_(1)
        # None: the mean over all batches
        momentum = (1 / self.num_batches_tracked.item()
                    if self.momentum is None else self.momentum)
        means = self.running_mean.repeat(len(groups), 1)
        variances = self.running_var.repeat(len(groups), 1)
        parts = [
            F.batch_norm(group, mean, variance, self.weight, self.bias, True,
                         momentum, self.eps)
            for group, mean, variance in zip(groups, means, variances)]
        self.running_mean.copy_(means.mean(dim=0))
        self.running_var.copy_(variances.mean(dim=0))
        return torch.cat(parts)

    def extra_repr(self) -> str:
        """Describe the layer in ``repr``."""
        return f'{super().extra_repr()}, group_size={self.group_size}'
