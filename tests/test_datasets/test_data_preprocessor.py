import pytest
import torch
from mmseg.models import SegDataPreProcessor

from mmseg_ssl.datasets import SemiSegDataPreProcessor

CFG = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True, size=(40, 40), seg_pad_val=255)


@pytest.fixture
def preprocessor():
    return SemiSegDataPreProcessor(**CFG)


def test_each_branch_as_in_mmseg(preprocessor, make_batch):
    batch = make_batch(batch_size=2)
    out = preprocessor(batch, training=True)
    assert set(out) == {'inputs', 'data_samples'}
    for branch in ('labeled', 'unlabeled'):
        expected = SegDataPreProcessor(**CFG)(
            make_batch(batch_size=2)[branch], training=True)
        assert torch.equal(out['inputs'][branch], expected['inputs'])
        assert out['inputs'][branch].shape == (2, 3, 40, 40)
        assert len(out['data_samples'][branch]) == 2
    # Padding is void.
    label = out['data_samples']['labeled'][0].gt_sem_seg.data
    assert label.shape == (1, 40, 40)
    assert (label[:, 32:] == 255).all() and (label[:, :, 32:] == 255).all()


@pytest.mark.parametrize('training', [True, False])
def test_ordinary_batch_as_in_mmseg(preprocessor, make_batch, training):
    out = preprocessor(make_batch(unlabeled=False), training)
    expected = SegDataPreProcessor(**CFG)(
        make_batch(unlabeled=False), training)
    assert torch.equal(out['inputs'], expected['inputs'])
    assert len(out['data_samples']) == len(expected['data_samples'])


def test_branches_of_different_sizes(make_batch):
    batch = make_batch(batch_size=2)
    batch['unlabeled']['inputs'] = [
        torch.zeros(3, 16, 24, dtype=torch.uint8) for _ in range(3)]
    batch['unlabeled']['data_samples'] = (
        batch['labeled']['data_samples'] + batch['labeled']['data_samples'])[
            :3]
    out = SemiSegDataPreProcessor(size_divisor=8, seg_pad_val=255)(
        batch, training=True)
    assert out['inputs']['labeled'].shape == (2, 3, 32, 32)
    assert out['inputs']['unlabeled'].shape == (3, 3, 16, 24)
