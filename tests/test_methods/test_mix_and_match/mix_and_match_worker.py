"""One of several processes that tune on the patches of a file.

``torchrun mix_and_match_worker.py IN OUT``: in each case of the file IN every
rank takes its part of the patches; it writes the weights after a few steps.
"""
import sys

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch.distributed.nn.functional import all_reduce

import mmseg_ssl  # noqa: F401  (registers everything)
from mmseg_ssl.methods.mix_and_match import MixAndMatch


class Fixed(MixAndMatch):
    """Takes patches as they come."""

    def mix(self, inputs, data_samples, generator=None):
        return inputs, data_samples


@MODELS.register_module(force=True)
class SummedNorm(torch.nn.BatchNorm2d):
    """Batch norm over all processes, as SyncBN, but on a CPU, too."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        parts = torch.stack([
            torch.full_like(self.running_mean, x[:, 0].numel()),
            x.sum(dim=(0, 2, 3)), x.square().sum(dim=(0, 2, 3))])
        if dist.is_initialized():
            parts = all_reduce(parts)
        count, total, squares = parts
        mean = total / count
        variance = squares / count - mean.square()
        with torch.no_grad():
            self.running_mean.lerp_(mean, 0.1)
            self.running_var.lerp_(variance, 0.1)
        unit = (x - mean[:, None, None]) * (
            variance + self.eps).rsqrt()[:, None, None]
        return unit * self.weight[:, None, None] + self.bias[:, None, None]


def tune(model, batches, steps=3, lr=0.05):
    """SGD on (patches, labels) of each step; returns what was logged."""
    module = getattr(model, 'module', model)
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    logged = []
    for step in range(steps):
        torch.manual_seed(step)  # the triplets of one process and of rank 0
        patches, labels = batches[step % len(batches)]
        losses = model(patches, labels, mode='loss')
        optimizer.zero_grad()
        losses['loss_triplet'].backward()
        optimizer.step()
        logged.append({k: v.item() for k, v in losses.items()})
    return logged


def run(case) -> dict:
    cfg = dict(case['cfg'])
    cfg.pop('type')
    model = Fixed(**cfg)
    model.load_state_dict(case['state_dict'])
    batches = [parts[dist.get_rank()] for parts in case['batches']]
    logged = tune(MMDistributedDataParallel(model), batches)
    return dict(logged=logged, state_dict=model.state_dict())


def main() -> None:
    dist.init_process_group('gloo')
    init_default_scope('mmseg')
    cases = torch.load(sys.argv[1], weights_only=False)
    results = {name: run(case) for name, case in cases.items()}
    torch.save(results, f'{sys.argv[2]}{dist.get_rank()}.pth')
    dist.destroy_process_group()


if __name__ == '__main__':
    assert MODELS.get('MixAndMatch') is MixAndMatch
    main()
