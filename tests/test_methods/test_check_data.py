"""Data that training would stumble over are refused before it begins."""
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from torch.utils.data import DataLoader

from mmseg_ssl.engine.hooks.preflight_hook import kept_random_state

LOSS = dict(type='RegionalContrastLoss', num_queries=16, num_keys=32)
BANK = dict(type='FeatureBankContrastLoss', embed_channels=12, num_classes=3)


@pytest.fixture
def make_model(tiny_segmentor):

    def make(method, size=(32, 32), loss=LOSS, **options) -> torch.nn.Module:
        segmentor = tiny_segmentor()
        segmentor.data_preprocessor.size = size
        if method.endswith('ReCo'):
            segmentor.decode_head = dict(
                type='EmbeddingHead', head=segmentor.decode_head,
                embed_channels=12, hidden_channels=8)
            options['loss_contrast'] = loss
        return MODELS.build(
            dict(type=method, segmentor=segmentor, **options))

    return make


@pytest.fixture
def make_loader(make_batch):
    """A loader of one item; ``edit`` changes it."""

    def make(edit=None, batch_size=2) -> DataLoader:
        item = {name: {key: values[0] for key, values in branch.items()}
                for name, branch in make_batch(1).items()}
        if edit is not None:
            edit(item)
        return DataLoader([item], batch_size, collate_fn=pseudo_collate)

    return make


def large_views(item):
    item['unlabeled']['inputs'] = torch.zeros(3, 48, 32, dtype=torch.uint8)


def no_truth(item):
    del item['labeled']['data_samples'].gt_sem_seg


def small(item):
    for branch in item.values():
        branch['inputs'] = branch['inputs'][:, :8]
    sample = item['labeled']['data_samples']
    sample.gt_sem_seg = PixelData(data=sample.gt_sem_seg.data[:, :8])


@pytest.mark.parametrize('method, options, edit, message', [
    ('PartialLabelMeanTeacher', {}, None,
     'drawn.png of the unlabelled branch has no label map'),
    ('PartialLabelReCo', {}, None, 'unlabelled branch has no label map'),
    ('MeanTeacher', {}, no_truth,
     'drawn.png of the labelled branch has no label map'),
    ('ReCo', {}, large_views, r'same crop size.*\(32, 32\) and \(48, 32\)'),
    ('S4GAN', dict(size=(8, 32)), small,
     r'at least 16 pixels, but got \(8, 32\): use a larger crop_size'),
])
def test_refused(make_model, make_loader, method, options, edit, message):
    model = make_model(method, **options)
    with pytest.raises(ValueError, match=message):
        model.check_data(make_loader(edit))


@pytest.mark.parametrize('method', ['MeanTeacher', 'ReCo', 'S4GAN'])
def test_accepted(make_model, make_loader, method):
    make_model(method).check_data(make_loader())


@pytest.mark.parametrize('mixing', [None, 'cutout', 'cutmix', 'classmix'])
def test_batches_of_one_image(make_model, make_loader, mixing):
    model = make_model('MeanTeacher', mixing=mixing)
    if mixing in (None, 'cutout'):
        model.check_data(make_loader(batch_size=1))
        return
    with pytest.raises(ValueError, match='at least 2 unlabelled images'):
        model.check_data(make_loader(batch_size=1))


def test_images_without_branches(make_model, make_batch):
    batch = make_batch(1, unlabeled=False)
    loader = DataLoader([{key: value[0] for key, value in batch.items()}], 2,
                        collate_fn=pseudo_collate)
    with pytest.raises(ValueError, match='has to be a SemiSegDataset'):
        make_model('MeanTeacher').check_data(loader)


@pytest.mark.parametrize('wrong', [
    dict(num_classes=4), dict(embed_channels=16)])
def test_a_bank_for_another_network(make_model, tiny_segmentor, wrong):
    loss = {**BANK, **wrong}
    with pytest.raises(ValueError, match='bank is for .*but got 3 and 12'):
        make_model('ReCo', loss=loss)
    with pytest.raises(ValueError, match='bank is for .*but got 3 and 12'):
        MODELS.build(dict(
            type='EmbeddingHead', head=tiny_segmentor().decode_head,
            embed_channels=12, loss_contrast=loss))


def test_before_the_first_iteration(make_model, make_cfg, tiny_segmentor):
    model = dict(type='MeanTeacher', segmentor=tiny_segmentor())
    cfg = make_cfg(model)
    cfg.train_dataloader.batch_size = 1
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match='at least 2 unlabelled images'):
        runner.train()
    assert runner.iter == 0


def test_random_numbers_stay_those_of_an_unchecked_training():

    def draw() -> tuple:
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(0)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = draw()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    with pytest.raises(ValueError), kept_random_state():
        draw()
        raise ValueError
    assert draw() == expected
