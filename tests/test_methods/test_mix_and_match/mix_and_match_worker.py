"""One of several processes that tune on the patches of a file.

``torchrun mix_and_match_worker.py IN OUT``: every rank takes its part of the
patches; rank 0 writes the weights after a few steps.
"""
import sys

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_ssl  # noqa: F401  (registers everything)
from mmseg_ssl.methods.mix_and_match import MixAndMatch


class Fixed(MixAndMatch):
    """Takes patches as they come."""

    def mix(self, inputs, data_samples, generator=None):
        return inputs, data_samples


def tune(model, batches, steps=3):
    """SGD on (patches, labels) of each step; returns what was logged."""
    module = getattr(model, 'module', model)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
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


def main() -> None:
    dist.init_process_group('gloo')
    init_default_scope('mmseg')
    given = torch.load(sys.argv[1], weights_only=False)
    cfg = dict(given['cfg'])
    cfg.pop('type')
    model = Fixed(**cfg)
    model.load_state_dict(given['state_dict'])
    batches = [parts[dist.get_rank()] for parts in given['batches']]
    logged = tune(MMDistributedDataParallel(model), batches)
    result = dict(logged=logged, state_dict=model.state_dict())
    torch.save(result, f'{sys.argv[2]}{dist.get_rank()}.pth')
    dist.destroy_process_group()


if __name__ == '__main__':
    assert MODELS.get('MixAndMatch') is MixAndMatch
    main()
