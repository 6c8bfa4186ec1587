"""HungarianIoUMetric: matching, scores, partitions, several processes."""
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mmseg_ssl.evaluation import HungarianIoUMetric, match_clusters

CLASSES = ('sky', 'road', 'car', 'tree')


def sample(clusters: Tensor, labels: Tensor) -> dict:
    return dict(pred_sem_seg=dict(data=clusters.unsqueeze(0)),
                gt_sem_seg=dict(data=labels.unsqueeze(0)),
                img_path='image.png')


def score(samples: list[dict], classes=CLASSES, **kwargs) -> dict:
    metric = HungarianIoUMetric(**kwargs)
    metric.dataset_meta = dict(classes=classes)
    for one in samples:
        metric.process({}, [one])
    return metric.evaluate(len(samples))


def random_samples(num: int, num_clusters: int = 4) -> list[dict]:
    """Images whose clusters follow the labels, more or less."""
    generator = torch.Generator().manual_seed(0)

    def draw(high: int) -> Tensor:
        return torch.randint(high, (num, 6, 9), generator=generator)

    labels = draw(4)
    clusters = (2 * labels + (draw(3) == 0) * draw(4) + 1) % num_clusters
    labels[draw(10) == 0] = 255
    return [sample(*pair) for pair in zip(clusters, labels)]


def slow_scores(samples: list[dict], matching: list[int],
                classes: list[int]) -> dict[str, float]:
    """Accuracy and mIoU of some classes, pixel by pixel."""
    pairs = [(matching[int(cluster)], int(label)) for one in samples
             for cluster, label in zip(one['pred_sem_seg']['data'].flatten(),
                                       one['gt_sem_seg']['data'].flatten())
             if label != 255]
    right = [p == y for p, y in pairs if y in classes]
    ious = []
    for c in classes:
        union = [p == y for p, y in pairs if c in (p, y)]
        ious.append(sum(union) / len(union))
    return dict(aAcc=100 * np.mean(right), mIoU=100 * np.mean(ious))


@pytest.mark.parametrize('num', range(1, 7))
def test_matching_is_the_best_of_all_permutations(num):
    rng = np.random.default_rng(num)
    for high in (3, 1000):
        confusion = rng.integers(high, size=(num, num))
        best = max(
            sum(confusion[k, c] for k, c in enumerate(permutation))
            for permutation in itertools.permutations(range(num)))
        matching = match_clusters(confusion)
        assert sorted(matching) == list(range(num))
        assert confusion[range(num), matching].sum() == best


def test_matching_of_random_matrices():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        num = rng.integers(1, 30)
        confusion = rng.integers(10**6, size=(num, num))
        rows, columns = linear_sum_assignment(-confusion)
        matching = match_clusters(confusion)
        assert (confusion[range(num), matching].sum()
                == confusion[rows, columns].sum())


def test_more_clusters_go_to_their_majority():
    confusion = np.array([[5, 4], [0, 9], [0, 0], [3, 3], [0, 1]])
    assert match_clusters(confusion).tolist() == [0, 1, 0, 0, 1]


def test_fewer_clusters_than_classes():
    with pytest.raises(ValueError, match='3 clusters cannot .* 4 classes'):
        score(random_samples(2, 3), num_clusters=3)


def test_permuted_perfect_predictions():
    labels = torch.randint(4, (5, 8, 8))
    permutation = torch.tensor([2, 0, 3, 1])
    scores = score([sample(permutation[label], label) for label in labels],
                   partitions=dict(a=[0, 3], b=[2]))
    assert set(scores) == {'aAcc', 'mIoU', 'mAcc', 'a/aAcc', 'a/mIoU',
                           'b/aAcc', 'b/mIoU'}
    assert set(scores.values()) == {100}


def test_identity_gives_the_scores_of_mmseg():
    samples = random_samples(5)
    for one in samples:  # three of four right: the identity is the best
        label = one['gt_sem_seg']['data']
        cluster = label.clone() % 4
        cluster[:, :, ::4] = one['pred_sem_seg']['data'][:, :, ::4]
        one['pred_sem_seg']['data'] = cluster
    reference = IoUMetric()
    reference.dataset_meta = dict(classes=CLASSES)
    reference.process({}, samples)
    expected = reference.evaluate(5)
    assert 50 < expected['mIoU'] < 95
    assert score(samples) == pytest.approx(expected, abs=0.011)


@pytest.mark.parametrize('num_clusters', [4, 9])
def test_scores_are_those_of_a_count_by_hand(num_clusters):
    samples = random_samples(4, num_clusters)
    partitions = dict(things=[2], stuff=[3, 0, 1])
    metric = HungarianIoUMetric(num_clusters, partitions)
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process({}, samples[:3])
    metric.process({}, samples[3:])
    scores = metric.evaluate(4)
    matching = metric.matching.tolist()
    for name, classes in dict(partitions, all=[0, 1, 2, 3]).items():
        prefix = '' if name == 'all' else f'{name}/'
        for key, value in slow_scores(samples, matching, classes).items():
            assert scores[prefix + key] == pytest.approx(value, abs=0.0051)


def test_partitions_are_classes_not_clusters():
    """A case in which the order of the clusters gives other numbers.

    Cluster 0 is class 3, 1 is 2, 2 is 1, 3 is 0. Classes 0 and 1 are perfect,
    half of 2 is taken by 3. In the order of clusters, the first two would be
    classes 3 and 2.
    """
    labels = torch.tensor([[0] * 4 + [1] * 4 + [2] * 4 + [3] * 4])
    matched = torch.tensor([[0] * 4 + [1] * 4 + [2] * 2 + [3] * 6])
    scores = score([sample(3 - matched, labels)],
                   partitions=dict(things=[0, 1], stuff=[2, 3]))
    assert scores['things/aAcc'] == scores['things/mIoU'] == 100
    assert scores['stuff/aAcc'] == 75
    # IoU 2/4 and 4/6
    assert scores['stuff/mIoU'] == pytest.approx(58.33)


def test_ignored_pixels_do_not_count():
    labels = torch.tensor([[0, 1, 2, 3, 255, 255]])
    right = torch.tensor([[0, 1, 2, 3, 3, 0]])
    assert score([sample(right, labels)])['aAcc'] == 100
    # the matching would differ if they counted as the class 255 % 4
    everywhere = torch.full((1, 6), 255)
    scores = score([sample(right, labels), sample(right, everywhere)])
    assert scores['mIoU'] == 100


def test_absent_class_is_left_out_of_the_mean():
    labels = torch.tensor([[0, 1, 2]])
    scores = score([sample(labels, labels)])
    assert scores['mIoU'] == scores['mAcc'] == 100


def test_memory_is_one_matrix():
    metric = HungarianIoUMetric(9)
    metric.dataset_meta = dict(classes=CLASSES)
    for one in random_samples(50, 9):
        metric.process({}, [one])
    assert metric.results == []
    assert metric._confusion.shape == metric._last.shape == (9, 4)


def test_evaluations_are_independent():
    metric = HungarianIoUMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    samples = random_samples(6)
    metric.process({}, samples[:3])
    metric.evaluate(3)
    metric.process({}, samples[3:])
    assert metric.evaluate(3) == score(samples[3:])


def test_table_of_classes_is_logged(monkeypatch):
    lines = []
    monkeypatch.setattr(
        MMLogger.get_current_instance(), 'log',
        lambda level, message: lines.append(message))
    score(random_samples(2))
    table = lines[-1]
    assert all(name in table for name in (*CLASSES, 'IoU', 'Acc'))


def test_builds_from_a_config():
    init_default_scope('mmseg')
    metric = METRICS.build(dict(
        type='HungarianIoUMetric', num_clusters=9, prefix='clusters',
        partitions=dict(things=[0])))
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process({}, random_samples(1, 9))
    assert 'clusters/things/mIoU' in metric.evaluate(1)


@pytest.mark.parametrize('partitions', [
    dict(things=[]), dict(things=[1, 1]), dict(things=[0, 4]),
    dict(things=[-1])])
def test_bad_partitions(partitions):
    with pytest.raises(ValueError, match="partition 'things'"):
        score(random_samples(1), partitions=partitions)


@pytest.mark.parametrize('what, cluster, label', [
    ('cluster 4', 4, 0), ('cluster -1', -1, 0), ('label 7', 0, 7)])
def test_values_out_of_range(what, cluster, label):
    with pytest.raises(ValueError, match=f'{what} of image.png is not in 0'):
        score([sample(torch.tensor([[cluster]]), torch.tensor([[label]]))])


def _in_process(rank: int, root: Path) -> None:
    """Score every second of 7 images; the sampler repeats one of them."""
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{root}/store', rank=rank, world_size=2)
    samples = random_samples(7, 9)
    metric = HungarianIoUMetric(9, dict(things=[0, 2]))
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process({}, (samples + samples[:1])[rank::2])
    torch.save(metric.evaluate(7), root / f'scores{rank}.pth')
    torch.distributed.destroy_process_group()


def test_two_processes_are_one(tmp_path):
    torch.multiprocessing.start_processes(
        _in_process, (tmp_path, ), nprocs=2, start_method='fork')
    expected = score(random_samples(7, 9), num_clusters=9,
                     partitions=dict(things=[0, 2]))
    for rank in range(2):
        scores = torch.load(tmp_path / f'scores{rank}.pth',
                            weights_only=False)
        assert scores == expected
