"""PatchAccuracy by hand, through an evaluator, and on wrong input."""
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement
from mmseg.registry import METRICS

from mmseg_ssl.evaluation import PatchAccuracy

TRUE = torch.tensor([3, 0, 8, 1, 4, 2, 5, 7, 6])


def sample(predicted: torch.Tensor) -> BaseDataElement:
    return BaseDataElement(position=TRUE, pred_position=predicted)


def test_values_by_hand():
    """All nine right, then the centre and one other."""
    partly = TRUE.roll(1)
    partly[4], partly[0] = TRUE[4], TRUE[0]
    evaluator = Evaluator(PatchAccuracy())
    evaluator.process([sample(TRUE)])
    evaluator.process([sample(partly)])
    assert evaluator.evaluate(2) == {
        'movable_acc': pytest.approx(100 * (8 + 1) / 16),
        'acc': pytest.approx(100 * (9 + 2) / 18)}


def test_the_centre_alone_is_no_merit():
    only_centre = (TRUE + 1) % 9
    only_centre[4] = 4
    evaluator = Evaluator(PatchAccuracy(prefix='jigsaw'))
    evaluator.process([sample(only_centre)])
    assert evaluator.evaluate(1) == {
        'jigsaw/movable_acc': 0., 'jigsaw/acc': pytest.approx(100 / 9)}


def test_padding_of_the_last_batch_does_not_count():
    """Samplers repeat images so that every process has as many."""
    evaluator = Evaluator(PatchAccuracy())
    evaluator.process([sample(TRUE), sample(TRUE.roll(1))])
    assert evaluator.evaluate(1)['acc'] == 100


def test_it_is_registered():
    metric = METRICS.build(dict(type='PatchAccuracy'))
    assert isinstance(metric, PatchAccuracy)


@pytest.mark.parametrize('true, predicted', [
    (torch.zeros(9), torch.zeros(25)), (torch.zeros(16), torch.zeros(16)),
    (torch.zeros(1, 9), torch.zeros(1, 9)), (torch.zeros(1), torch.zeros(1))])
def test_wrong_shapes(true, predicted):
    with pytest.raises(ValueError, match='N odd and at least 3, but got'):
        PatchAccuracy().process(
            None, [dict(position=true, pred_position=predicted)])
