"""Two processes give the loss and the gradient of one with all images."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmseg_ssl.methods.reco import (
    RegionalContrastLoss,
    SyncRegionalContrastLoss,
)

WORKER = Path(__file__).with_name('sync_loss_worker.py')
CLASSES = 4


def inputs_with(edit=None):
    """Embeddings, labels, probabilities of two processes, two images each."""
    embedding = torch.randn(2, 2, 6, 4, 5, dtype=torch.double)
    label = torch.randint(0, CLASSES, (2, 2, 4, 5))
    label[torch.rand(label.shape) < 0.2] = 255
    if edit is not None:
        edit(label)
    embedding += 2 * torch.randn(256, 6)[label].movedim(-1, 2)
    prob = torch.randn(2, 2, CLASSES, 4, 5, dtype=torch.double).softmax(2)
    return embedding, label, prob


def class_on_second_only(label):
    label[0][label[0] == 2] = 255
    label[1, 0, 0, :3] = 2


def first_is_void(label):
    label[0] = 255


def one_class(label):
    label[label != 255] = 1


def each_its_own_class(label):
    label[0], label[1] = 0, 3


OPTIONS = dict(num_queries=12, num_keys=9, strong_threshold=0.5)
CASES = {
    'default': ({}, None),
    'easy': (dict(query_sampling='easy'), None),
    'random queries': (dict(query_sampling='random'), None),
    'random keys': (dict(key_sampling='random', loss_weight=0.5), None),
    'more keys than pixels': (dict(num_keys=200), None),
    'no hard pixel': (dict(strong_threshold=1e-9), None),
    'class on the second only': ({}, class_on_second_only),
    'first is void': ({}, first_is_void),
    'one class': ({}, one_class),
    'each its own class': ({}, each_its_own_class),
}


@pytest.fixture(scope='module')
def computed(tmp_path_factory):
    """All cases, and what the two processes made of them."""
    folder = tmp_path_factory.mktemp('sync')
    torch.manual_seed(0)
    cases = {name: dict(options={**OPTIONS, **options},
                        inputs=inputs_with(edit))
             for name, (options, edit) in CASES.items()}
    torch.save(cases, folder / 'cases.pth')
    process = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone',
         '--nproc_per_node=2', str(WORKER), str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300, env={**os.environ, 'OMP_NUM_THREADS': '1',
                          'PYTHONPATH': str(WORKER.parents[3])})
    assert process.returncode == 0, process.stdout[-4000:]
    return cases, [torch.load(folder / f'rank{i}.pth') for i in range(2)]


@pytest.mark.parametrize('name', CASES)
def test_equals_one_process(computed, name):
    cases, ranks = computed
    embedding, label, prob = (
        x.flatten(0, 1) for x in cases[name]['inputs'])
    embedding = embedding.clone().requires_grad_()
    loss = RegionalContrastLoss(**cases[name]['options'])(
        embedding, label, prob, torch.Generator().manual_seed(5))
    loss.backward()

    results = [rank[name] for rank in ranks]
    torch.testing.assert_close(
        sum(r['loss'] for r in results) / 2, loss.detach(),
        rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        torch.cat([r['grad'] for r in results]) / 2, embedding.grad,
        rtol=1e-8, atol=1e-12)
    empty = name in ('one class', 'no hard pixel')
    assert (loss == 0) == empty
    assert embedding.grad.any() == (not empty)


def test_alone_a_process_would_find_another_loss(computed):
    """Otherwise the test above could not fail."""
    cases, ranks = computed
    embedding, label, prob = (x[0] for x in cases['default']['inputs'])
    alone = RegionalContrastLoss(**cases['default']['options'])(
        embedding, label, prob, torch.Generator().manual_seed(5))
    assert abs(alone - ranks[0]['default']['loss']) > 1e-3


def test_processes_agree_on_a_new_seed_each_time(computed):
    first, second = (rank['seeds'] for rank in computed[1])
    assert first == second
    assert first[0] != first[1]


def test_one_process_alone_computes_the_loss_of_the_base():
    embedding, label, prob = (x.flatten(0, 1) for x in inputs_with())
    losses = [
        cls(**OPTIONS)(embedding, label, prob,
                       torch.Generator().manual_seed(1))
        for cls in (RegionalContrastLoss, SyncRegionalContrastLoss)]
    assert torch.equal(*losses)
