"""One of two processes that compute the shared contrast loss.

``torchrun sync_loss_worker.py FOLDER``: reads cases.pth, writes rankR.pth.
"""
import sys

import torch
import torch.distributed as dist

from mmseg_ssl.methods.reco.sync_regional_contrast_loss import (
    SyncRegionalContrastLoss,
    shared_generator,
)


def main() -> None:
    folder = sys.argv[1]
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    results = {}
    for name, case in torch.load(f'{folder}/cases.pth').items():
        embedding, label, prob = (x[rank] for x in case['inputs'])
        embedding.requires_grad_()
        loss = SyncRegionalContrastLoss(**case['options'])(
            embedding, label, prob, torch.Generator().manual_seed(5))
        loss.backward()
        results[name] = dict(loss=loss.detach(), grad=embedding.grad)

    torch.manual_seed(rank)
    first, second = (shared_generator(torch.device('cpu')).initial_seed()
                     for _ in range(2))
    results['seeds'] = (first, second)
    torch.save(results, f'{folder}/rank{rank}.pth')


if __name__ == '__main__':
    main()
