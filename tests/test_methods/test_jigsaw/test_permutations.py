"""Permutation sets: far apart, the same for a seed, kept in a file."""
import numpy as np
import pytest
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement
from mmseg.registry import METRICS

from mmseg_ssl.methods.jigsaw import permutation_set, permutations


def distances(members: np.ndarray) -> np.ndarray:
    """Hamming distances (P, P)."""
    return (members[:, None] != members[None]).sum(axis=2)


@pytest.fixture
def make(tmp_path):
    return lambda *args, **kwargs: permutation_set(
        *args, cache_dir=tmp_path, **kwargs)


def test_members_are_different_permutations(make):
    members = make(100)
    assert members.shape == (100, 9) and members.dtype == np.int64
    assert (np.sort(members, axis=1) == np.arange(9)).all()
    assert len(np.unique(members, axis=0)) == 100


def test_members_are_further_apart_than_random_ones(make):
    rng = np.random.default_rng(0)
    chosen = distances(make(100))
    random = distances(np.stack([rng.permutation(9) for _ in range(100)]))
    off_diagonal = ~np.eye(100, dtype=bool)
    assert chosen[off_diagonal].mean() > random[off_diagonal].mean() + 0.05
    # the first nine can differ in every place, and do
    assert (distances(make(100)[:9]) == 9 * ~np.eye(9, dtype=bool)).all()


def test_each_next_one_is_the_furthest(make):
    """Exhaustively, with the 24 permutations of four tiles."""
    everything = make(24, 4)
    for i in range(1, 24):
        left = everything[i:]
        mean = (left[:, None] != everything[None, :i]).sum(axis=(1, 2))
        assert mean[0] == mean.max()


def test_a_seed_decides(make, tmp_path):
    first = make(20, 5, seed=1)
    assert not np.array_equal(first, make(20, 5, seed=2))
    for file in tmp_path.iterdir():
        file.unlink()
    assert np.array_equal(first, make(20, 5, seed=1))


def test_a_set_is_searched_once(make, tmp_path, monkeypatch):
    first = make(10, 5)
    monkeypatch.setattr(permutations, '_search', None)
    assert np.array_equal(make(10, 5), first)
    assert [file.name for file in tmp_path.iterdir()] == [
        'permutations-5-10-seed0.npy']


def test_default_place_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    permutation_set(3, 4)
    assert (tmp_path / 'mmseg_ssl/permutations-4-3-seed0.npy').is_file()


@pytest.mark.parametrize('number, tiles, message', [
    (10, 25, 'permutations of 25 tiles cannot be searched: use 2 to 9'),
    (25, 4, r'between 1 and 4! = 24, but got 25'), (0, 9, 'but got 0')])
def test_impossible_sets(make, number, tiles, message):
    with pytest.raises(ValueError, match=message):
        make(number, tiles)


def test_accuracy_of_permutations():
    metric = METRICS.build(dict(type='PermutationAccuracy', prefix='val'))
    evaluator = Evaluator(metric)
    for true, predicted in ((3, 3), (0, 2), (7, 7), (1, 0)):
        evaluator.process([
            BaseDataElement(permutation=true, pred_permutation=predicted)])
    assert evaluator.evaluate(4) == {'val/permutation_acc': 50.}
