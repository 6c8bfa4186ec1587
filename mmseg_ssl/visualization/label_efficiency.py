"""What a number of labels is worth: mean IoU over labels, by method."""
import json
from dataclasses import dataclass
from statistics import mean, stdev

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from mmseg_ssl.visualization.results import (
    results_table,
    table_head,
    table_row,
)
from mmseg_ssl.visualization.run_log import RunRecord

# Runs by method and number of labels; they differ in their seed.
Runs = dict[str, dict[int, list[RunRecord]]]
SPREAD = 'mean over seeds, from least to largest'


@dataclass(frozen=True)
class Point:
    """One method with one number of labels.

    Attributes:
        labels (int): Number of labelled images.
        runs (list[RunRecord]): One for each seed, at least one.
    """

    labels: int
    runs: list[RunRecord]

    @property
    def last(self) -> list[float]:
        """Last validation mean IoU of each run, in percent."""
        return [run.miou.last for run in self.runs]

    @property
    def best(self) -> list[float]:
        """Best validation mean IoU of each run, in percent."""
        return [run.miou.best[0] for run in self.runs]

    @property
    def deviation(self) -> float | None:
        """Standard deviation of :attr:`last`, None for a single run."""
        return stdev(self.last) if len(self.runs) > 1 else None


def points(by_labels: dict[int, list[RunRecord]]) -> list[Point]:
    """Points of a curve, from few labels to many; without empty ones."""
    return [Point(labels, runs)
            for labels, runs in sorted(by_labels.items()) if runs]


def draw_curves(runs: Runs) -> Figure:
    """Draw the last mean IoU against the number of labels.

    A line joins the means over seeds (bars), a band goes from the least to
    the largest value, and a dot stands for each run.

    Args:
        runs (Runs): What to draw; points without runs are left out.

    Raises:
        ValueError: There is no run at all.
    """
    curves = {method: points(found) for method, found in runs.items()}
    counts = sorted({point.labels for curve in curves.values()
                     for point in curve})
    if not counts:
        raise ValueError('there is no finished training to draw')
    figure, axes = plt.subplots(figsize=(6, 4), layout='constrained')
    for number, (method, curve) in enumerate(curves.items()):
        x = [point.labels for point in curve]
        colour = f'C{number}'
        axes.plot(x, [mean(point.last) for point in curve], color=colour,
                  label=method, linewidth=1.5, marker='_',
                  markersize=12)
        axes.fill_between(x, [min(point.last) for point in curve],
                          [max(point.last) for point in curve],
                          color=colour, alpha=0.15, linewidth=0)
        for point in curve:
            axes.plot([point.labels] * len(point.runs), point.last, 'o',
                      color=colour, markersize=3.5)
    axes.set_xscale('log')
    axes.set_xticks(counts, list(map(str, counts)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel='labelled images', ylabel='last validation mIoU (%)')
    axes.set_title(SPREAD, fontsize=9)
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, loc='lower right')
    return figure


def curves_markdown(runs: Runs) -> str:
    """Two tables: the points of the curves, and the runs behind them."""
    names = ['method', 'labels', 'seeds', 'mean last mIoU', 'least',
             'largest', 'standard deviation', 'mean best mIoU']
    rows = [
        table_row([
            method, str(point.labels), str(len(point.runs)),
            f'{mean(point.last):.2f}', f'{min(point.last):.2f}',
            f'{max(point.last):.2f}',
            '' if point.deviation is None else f'{point.deviation:.2f}',
            f'{mean(point.best):.2f}'])
        for method, found in runs.items() for point in points(found)]
    groups = {f'{method}, {labels} labels': found
              for method, by_labels in runs.items()
              for labels, found in sorted(by_labels.items())}
    return '\n'.join([table_head(names), *rows, '',
                      results_table(groups, 'method')]) + '\n'


def curves_json(runs: Runs) -> str:
    """The same as data."""
    return json.dumps(dict(
        metric='mIoU of the last validation, in percent', spread=SPREAD,
        curves={method: [dict(
            labels=point.labels, mean=mean(point.last), least=min(point.last),
            largest=max(point.last), deviation=point.deviation,
            mean_best=mean(point.best),
            runs=[dict(name=run.name, seed=run.seed, last=run.miou.last,
                       best=run.miou.best[0], log=run.log_hash)
                  for run in point.runs]) for point in points(found)]
            for method, found in runs.items()}), indent=1) + '\n'
