"""Trainings as rows of Markdown tables."""
import statistics
from collections.abc import Iterable, Sequence

from mmseg_ssl.visualization.run_log import RunRecord


def header(metric: str = 'mIoU', first: str | None = None,
           extra: Sequence[str] = ()) -> str:
    """Names of the columns and the line below.

    Args:
        metric (str): What the runs are ranked by; shares are in percent.
        first (str, optional): Name of a column of labels before the others.
        extra (Sequence[str]): Keys of further metrics, of which the last
            value is shown.
    """
    names = ['config', 'seed', 'iterations', f'last {metric}',
             f'best {metric} (iteration)', *(f'last {key}' for key in extra),
             's/iter', 'peak MB', 'device', 'log', 'checkpoint']
    return table_head(names if first is None else [first, *names])


def row(run: RunRecord, label: str | None = None,
        extra: Sequence[str] = ()) -> str:
    """One training; what its record does not tell stays empty."""
    best, iteration = run.best
    seconds, memory = run.seconds_per_iteration, run.peak_memory
    cells = [
        f'`{run.name}`', str(run.seed), str(run.iterations),
        f'{run.score.last:.2f}', f'{best:.2f} ({iteration})',
        *(f'{run.val[key].last:.2f}' if key in run.val else ''
          for key in extra),
        '' if seconds is None else f'{seconds:.2f}',
        '' if memory is None else f'{memory:.0f}',
        run.device or '', run.log_hash, run.checkpoint_hash or '']
    return table_row(cells if label is None else [label, *cells])


def spread_row(runs: list[RunRecord], label: str,
               extra: Sequence[str] = ()) -> str | None:
    """Mean and standard deviation over seeds; None for a single seed."""
    seeds = sorted({run.seed for run in runs if run.seed is not None})
    if len(seeds) < 2:
        return None
    last = _spread(run.score.last for run in runs)
    best = _spread(run.best[0] for run in runs)
    iterations = {run.iterations for run in runs}
    others = [_spread(run.val[key].last for run in runs)
              if all(key in run.val for run in runs) else '' for key in extra]
    return table_row([
        label, 'mean and standard deviation', ', '.join(map(str, seeds)),
        str(iterations.pop()) if len(iterations) == 1 else '', last, best,
        *others, *[''] * 5])


def results_table(groups: dict[str, list[RunRecord]], first: str,
                  extra: Sequence[str] = ()) -> str:
    """Rows of several things, each trained with one or more seeds.

    Args:
        groups (dict[str, list[RunRecord]]): Runs by label; things without
            runs are named below the table.
        first (str): What the labels are, e.g. ``'method'``.
        extra (Sequence[str]): Keys of further metrics to show.

    Raises:
        ValueError: The runs are not ranked by the same metric.
    """
    lines = []
    for label, runs in groups.items():
        lines += [row(run, label, extra) for run in runs]
        lines += filter(None, [spread_row(runs, label, extra)])
    if lines:
        lines.insert(0, header(_common_metric(groups), first, extra))
    return _with_missing(lines, groups)


def class_table(groups: dict[str, list[RunRecord]], first: str) -> str:
    """IoU in percent of every class at the last validation.

    Raises:
        ValueError: The runs do not have the same classes.
    """
    classes = {tuple(run.class_iou) for runs in groups.values()
               for run in runs}
    if len(classes) > 1:
        raise ValueError(
            f'runs of one table must have the same classes, got {classes}')
    lines = [table_row([label, *(f'{iou:.1f}' for iou in
                                 run.class_iou.values())])
             for label, runs in groups.items() for run in runs]
    if lines:
        lines.insert(0, table_head([first, *classes.pop()]))
    return _with_missing(lines, groups)


def table_head(names: list[str]) -> str:
    """The first two lines of a table."""
    return table_row(names) + '\n' + '|---' * len(names) + '|'


def table_row(cells: list[str]) -> str:
    """One line of a table."""
    return '| ' + ' | '.join(cells) + ' |'


def _spread(values: Iterable[float]) -> str:
    values = list(values)
    return f'{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}'


def _common_metric(groups: dict[str, list[RunRecord]]) -> str:
    metrics = {run.metric_name for runs in groups.values()
               for run in runs}
    if len(metrics) > 1:
        raise ValueError('runs of one table must be ranked by one metric, '
                         f'got {sorted(metrics)}')
    return metrics.pop()


def _with_missing(lines: list[str],
                  groups: dict[str, list[RunRecord]]) -> str:
    missing = [label for label, runs in groups.items() if not runs]
    text = '\n'.join(lines)
    if missing:
        text += '\n\n' if lines else ''
        text += f'Not measured yet: {"; ".join(missing)}.'
    return text
