import json

import matplotlib.pyplot as plt
import pytest

from mmseg_ssl.visualization.label_efficiency import (
    curves_json,
    curves_markdown,
    draw_curves,
    points,
)
from mmseg_ssl.visualization.run_log import Curve, RunRecord


def record(name: str, seed: int, *miou: float) -> RunRecord:
    steps = list(range(10, 10 * len(miou) + 1, 10))
    return RunRecord(name=name, seed=seed, train={},
                     val={'mIoU': Curve(steps, list(miou))}, class_iou={})


@pytest.fixture
def runs():
    return {
        'Supervised': {50: [record('sup-50l', 0, 42., 40.)],
                       20: [record('sup-20l', 0, 30., 32.),
                            record('sup-20l-s1', 1, 20., 22.),
                            record('sup-20l-s2', 2, 35., 24.)]},
        'Ours': {50: [], 20: [record('our-20l', 0, 50.)]}}


def test_points_in_order(runs):
    few, many = points(runs['Supervised'])
    assert (few.labels, many.labels) == (20, 50)
    assert few.last == [32, 22, 24] and few.best == [32, 22, 35]
    assert few.deviation == pytest.approx(5.2915, abs=1e-4)
    assert many.deviation is None
    assert [point.labels for point in points(runs['Ours'])] == [20]


def test_tables(runs):
    text = curves_markdown(runs)
    assert ('| Supervised | 20 | 3 | 26.00 | 22.00 | 32.00 | 5.29 | 29.67 |'
            in text)
    assert '| Supervised | 50 | 1 | 40.00 | 40.00 | 40.00 |  | 42.00 |' in text
    assert '| Supervised, 20 labels | `sup-20l-s1` | 1 |' in text
    assert 'Not measured yet: Ours, 50 labels.' in text
    runs['Supervised'][20].sort(key=lambda run: run.seed)
    assert text.index('`sup-20l`') < text.index('`sup-50l`')


def test_data(runs):
    data = json.loads(curves_json(runs))
    assert data['spread'] == 'mean over seeds, from least to largest'
    few, many = data['curves']['Supervised']
    assert (few['mean'], few['least'], few['largest']) == (26, 22, 32)
    assert many['deviation'] is None
    assert [run['log'] for run in few['runs']] == [
        run.log_hash for run in runs['Supervised'][20]]
    assert len(data['curves']['Ours']) == 1


def test_picture(runs):
    """A line of means, a band, and every run as a dot."""
    figure = draw_curves(runs)
    axes, = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        '20', '50']
    mean = axes.lines[0]
    assert mean.get_label() == 'Supervised'
    assert mean.get_xydata().tolist() == [[20, 26], [50, 40]]
    band = axes.collections[0].get_paths()[0].vertices
    assert [20, 22] in band.tolist() and [20, 32] in band.tolist()
    dots = [line for line in axes.lines if line.get_marker() == 'o']
    assert sum(len(line.get_xdata()) for line in dots) == 5
    assert 'from least to largest' in axes.get_title()
    plt.close(figure)


def test_nothing_to_draw():
    with pytest.raises(ValueError, match='no finished training to draw'):
        draw_curves({'Ours': {20: []}})
