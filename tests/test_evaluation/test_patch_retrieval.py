"""Nearest neighbours among patches."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_ssl.evaluation import patch_retrieval
from mmseg_ssl.evaluation.patch_retrieval import PatchRetrieval


def samples(num_images=7, num_classes=3, dim=4):
    result = []
    for i in range(num_images):
        n = i % 4  # an image may have none
        result.append(dict(
            patch_features=F.normalize(torch.randn(n, dim), dim=1),
            patch_labels=torch.randint(num_classes, (n, ))))
    return result


def slow_accuracy(data):
    rows = [(i, f.double().numpy(), int(c)) for i, s in enumerate(data)
            for f, c in zip(s['patch_features'], s['patch_labels'])]
    right = {}
    for image, feature, label in rows:
        others = [r for r in rows if r[0] != image]
        best = max(others, key=lambda r: float(feature @ r[1]))
        right.setdefault(label, []).append(best[2] == label)
    return (100 * np.mean(np.concatenate(list(right.values()))),
            100 * np.mean([np.mean(v) for v in right.values()]))


@pytest.mark.parametrize('chunk', [3, 1024])
def test_against_a_loop(monkeypatch, chunk):
    monkeypatch.setattr(patch_retrieval, 'CHUNK', chunk)
    data = samples(20)
    metric = PatchRetrieval()
    for sample in data:
        metric.process(None, [sample])
    scores = metric.compute_metrics(metric.results)
    expected = slow_accuracy(data)
    assert scores['nn_acc'] == pytest.approx(expected[0])
    assert scores['nn_mAcc'] == pytest.approx(expected[1])
    assert 0 < scores['chance_acc'] < 100


def test_needs_two_images():
    metric = PatchRetrieval()
    metric.process(None, samples(2))  # the first is empty
    with pytest.raises(ValueError, match='only 1 of 2 has any'):
        metric.compute_metrics(metric.results)
