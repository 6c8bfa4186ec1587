"""Keys from a bank: equal to the batch-wise loss while it holds one batch."""
import copy

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_ssl.methods.reco import (
    FeatureBankContrastLoss,
    RegionalContrastLoss,
)

C, D = 5, 6
SIZES = dict(num_queries=8, num_keys=16)


def batch(classes, seed=0, size=6):
    """Embedding, labels of the given classes and probabilities."""
    rng = torch.Generator().manual_seed(seed)
    embedding = torch.randn(2, D, size, size, generator=rng)
    label = torch.tensor(classes)[torch.randint(
        len(classes), (2, size, size), generator=rng)]
    prob = torch.rand(2, C, size, size, generator=rng).softmax(1)
    return embedding.requires_grad_(), label, prob


def generator():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize('key_sampling', ['active', 'random'])
@pytest.mark.parametrize('classes', [[0, 1, 2, 3, 4], [1, 3, 255], [0, 4]])
def test_one_batch_equals_the_loss_without_bank(classes, key_sampling):
    options = dict(**SIZES, key_sampling=key_sampling)
    embedding, label, prob = batch(classes)
    bank = FeatureBankContrastLoss(
        C, D, bank_size=100, num_stored=100, **options)
    plain = RegionalContrastLoss(**options)
    values, grads = [], []
    for loss in (bank, plain):
        value = loss(embedding, label, prob, generator())
        grads += torch.autograd.grad(value, embedding)
        values.append(value)
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*grads)


def test_classes_of_earlier_batches_are_negatives():
    loss = FeatureBankContrastLoss(C, D, bank_size=64, num_stored=32, **SIZES)
    embedding, label, prob = batch([0, 1])
    alone = copy.deepcopy(loss)(embedding, label, prob, generator())
    # Class 4 looks just like class 0.
    first, *_ = batch([4])
    loss.store(
        first.detach().permute(0, 2, 3, 1).reshape(-1, D) * 0
        + embedding.detach().permute(0, 2, 3, 1)[label == 0].mean(0),
        torch.tensor([0, 0, 0, 0, 72]))
    with_bank = loss(embedding, label, prob, generator())
    assert with_bank > alone + 0.01


def test_queue_forgets_its_oldest():
    loss = FeatureBankContrastLoss(2, 1, bank_size=4, num_stored=3)
    for start in (1, 4, 7):
        keys = torch.arange(start, start + 3).float()[:, None]
        loss.store(keys, torch.tensor([3, 0]))
    assert loss.num_seen.tolist() == [9, 0]
    assert sorted(loss.bank[0, :, 0].tolist()) == [6, 7, 8, 9]
    assert loss.bank[1].abs().max() == 0


def test_many_are_drawn_without_replacement():
    """Each pixel of a class is stored equally often, each at most once."""
    stored = torch.zeros(20)
    for seed in range(300):
        loss = FeatureBankContrastLoss(3, 1, bank_size=8, num_stored=5)
        loss.store(torch.arange(23.)[:, None], torch.tensor([2, 20, 1]),
                   torch.Generator().manual_seed(seed))
        assert loss.num_seen.tolist() == [2, 5, 1]
        assert sorted(loss.bank[0, :2, 0].tolist()) == [0, 1]
        assert loss.bank[2, 0, 0] == 22
        rows = loss.bank[1, :5, 0].long()
        assert len(rows.unique()) == 5 and rows.min() >= 2 and rows.max() < 22
        stored[rows - 2] += 1
    # 300 * 5 / 20 = 75 expected, standard deviation 7.5
    assert stored.min() > 45 and stored.max() < 105


@pytest.mark.parametrize('num_classes', [2, 3])
def test_few_classes(num_classes):
    """Free embeddings that follow the gradient part by class."""
    loss = FeatureBankContrastLoss(
        num_classes, D, bank_size=16, num_stored=8, **SIZES)
    embedding, label, prob = batch(list(range(num_classes)))
    prob = prob[:, :num_classes]
    rng = generator()
    values = []
    for _ in range(30):
        value = loss(embedding, label, prob, rng)
        grad, = torch.autograd.grad(value, embedding)
        with torch.no_grad():
            embedding -= 5 * grad
        values.append(value.item())
    assert sum(values[-5:]) < 0.8 * sum(values[:5])


def test_fewer_than_two_classes_keep_a_graph():
    loss = FeatureBankContrastLoss(C, D, **SIZES)
    embedding, label, prob = batch([2])
    value = loss(embedding, label, prob)
    value.backward()
    assert value == 0 and embedding.grad.abs().max() == 0
    assert loss.num_seen.tolist() == [0, 0, 72, 0, 0]
    value = loss(embedding, torch.full_like(label, 255), prob)
    assert value == 0


def test_resumes():
    loss = FeatureBankContrastLoss(C, D, bank_size=16, num_stored=8, **SIZES)
    loss(*batch([0, 1, 2]), generator())
    resumed = FeatureBankContrastLoss(
        C, D, bank_size=16, num_stored=8, **SIZES)
    resumed.load_state_dict(loss.state_dict())
    second = batch([1, 3], seed=1)
    torch.testing.assert_close(resumed(*second, generator()),
                               loss(*second, generator()))


def test_overflow_does_not_stay_in_the_bank():
    loss = FeatureBankContrastLoss(C, D, **SIZES)
    embedding, label, prob = batch([0, 1])
    loss(embedding.detach().fill_(float('inf')), label, prob)
    assert loss.bank.isfinite().all()


def test_descends():
    """The free embedding follows its gradient, over several batches."""
    loss = FeatureBankContrastLoss(
        C, D, bank_size=128, num_stored=64, query_sampling='random', **SIZES)
    embedding, label, prob = batch([0, 1, 2])
    optimizer = torch.optim.SGD([embedding], lr=5.)
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        value = loss(embedding, label, prob)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert sum(values[-5:]) < 0.9 * sum(values[:5])


def test_bad_sizes():
    with pytest.raises(ValueError, match=(
            'num_stored must be from 1 to bank_size, but got 9 and 8')):
        FeatureBankContrastLoss(C, D, bank_size=8, num_stored=9)
    with pytest.raises(ValueError, match=(
            'for 5 classes and embeddings of 7 channels, but got 5 and 6')):
        FeatureBankContrastLoss(C, 7)(*batch([0, 1]))


@pytest.mark.parametrize('name', [
    'reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l',
    'reco-classmix_r101-d16-deeplabv3plus_1xb2-40k_cityscapes-20l'])
def test_configs_change_the_loss_alone(project_root, name):
    base, bank = (
        Config.fromfile(project_root / f'configs/reco/{name}{suffix}.py')
        for suffix in ('', '-bank'))
    loss = MODELS.build(bank.model.loss_contrast)
    plain = MODELS.build(base.model.loss_contrast)
    assert isinstance(loss, FeatureBankContrastLoss)
    assert (loss.num_queries, loss.num_keys) == (
        plain.num_queries, plain.num_keys)
    assert loss.bank.shape == (
        base.num_classes, bank.bank_size, base.embed_channels)
    del base.model['loss_contrast'], bank.model['loss_contrast']
    assert base.model == bank.model
    assert base.train_dataloader == bank.train_dataloader
