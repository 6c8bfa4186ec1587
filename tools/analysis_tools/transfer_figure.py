"""Draw what puzzles are worth to segmentation, from finished trainings.

``transfer_figure.py WORK_DIR [WORK_DIR ...] --out PNG`` with the work
directories of segmentations whose model is a ``TransferEncoderDecoder``.

Left, Fig. 4 of the paper: mIoU over the blocks that were tuned, a solid line
where they started from the puzzles, a dotted one where they started at random;
the dashed line started everything at random. Right, as in Table 2: mIoU over
the accuracy that the puzzles had reached, a line for each choice of tuned
blocks, if the logs of the puzzles still lie beside their checkpoints. Runs of
one cell are averaged, so give the same seeds of each. The numbers are printed,
too.
"""
import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmseg_ssl.backbones.blocks import BLOCKS
from mmseg_ssl.visualization.run_log import (
    TrainingRun,
    ranking_key,
    read_curves,
    read_run,
)

TUNED = tuple('12345'[first:] for first in range(len(BLOCKS)))
STYLES = dict(finetune='-', random=':')


class Cell(NamedTuple):
    """A cell of Tables 2 and 3: what a segmentation started from.

    Attributes:
        puzzle (str): Name of the puzzles, such as ``5x5``; empty for none.
        step (int): Their iterations; 0 where not known.
        tuned (str): Digits of the blocks that are tuned.
        start (str): Where these start: ``'finetune'``, from the puzzles, or
            ``'random'``.
    """

    puzzle: str
    step: int
    tuned: str
    start: str


def cell_of(run: TrainingRun) -> Cell:
    """Find the cell of a training.

    Raises:
        ValueError: If it is no transfer, or none of the paper's choices.
    """
    model = run.config.model
    if 'transfer' not in model:
        raise ValueError(f'{run.work_dir}: its model is a {model.type}, not a '
                         'TransferEncoderDecoder')
    checkpoint = model.transfer.get('checkpoint')
    if checkpoint is None:
        return Cell('', 0, TUNED[0], 'random')
    frozen, random = (list(model.transfer.get(key, ()))
                      for key in ('freeze', 'random'))
    tuned = [block for block in BLOCKS if block not in frozen]
    digits = ''.join(block[-1] for block in tuned)
    if digits not in TUNED or sorted(random) not in ([], tuned):
        raise ValueError(
            f'{run.work_dir}: the figure shows the first blocks frozen and '
            'all others from the puzzles, or all others at random, not '
            f'freeze={frozen} and random={random}')
    path = Path(checkpoint)
    step = re.search(r'iter_(\d+)', path.stem)
    puzzle = path.parent.name.split('_')[0].removeprefix('jigsaw-')
    return Cell(puzzle, int(step[1]) if step else 0, digits,
                'random' if random else 'finetune')


def accuracy_at(checkpoint: Path) -> float | None:
    """The last accuracy of a proxy task up to a checkpoint, in percent."""
    step = re.search(r'iter_(\d+)', checkpoint.stem)
    _, val = read_curves(checkpoint.parent)
    if step is None or not val:
        return None
    curve = val[ranking_key(list(val))]
    before = [value for at, value in zip(curve.steps, curve.values)
              if at <= int(step[1])]
    return before[-1] if before else None


def collect(work_dirs: Sequence[Path]) -> tuple[
        dict[Cell, list[float]], dict[tuple[str, int], float]]:
    """Last mIoU of all runs by cell, and accuracies by puzzle and step.

    Raises:
        FileNotFoundError: If a folder is not of a validated training.
        ValueError: If a run is in none of the cells.
    """
    scores: dict[Cell, list[float]] = {}
    accuracies = {}
    for work_dir in work_dirs:
        run = read_run(work_dir.name, work_dir)
        cell = cell_of(run)
        scores.setdefault(cell, []).append(run.score.last)
        if cell.puzzle:
            accuracy = accuracy_at(Path(run.config.model.transfer.checkpoint))
            if accuracy is not None:
                accuracies[cell.puzzle, cell.step] = accuracy
    return dict(sorted(scores.items())), accuracies


def spread(values: list[float]) -> float:
    """Standard deviation; 0 of a single value."""
    return stdev(values) if len(values) > 1 else 0.0


def draw_blocks(axes: Axes, scores: dict[Cell, list[float]],
                colours: dict[str, str]) -> None:
    """Fig. 4: a line for each proxy task and start."""
    lines: dict[tuple, dict[int, list[float]]] = {}
    everything_random: dict[int, list[float]] = {}
    for cell, values in scores.items():
        if cell.puzzle:
            line = lines.setdefault((cell.puzzle, cell.step, cell.start), {})
            line[TUNED.index(cell.tuned)] = values
        else:
            everything_random = {0: values}
            axes.axhline(mean(values), color='black', linestyle='--',
                         linewidth=1, label='no puzzles')
            axes.axhspan(mean(values) - spread(values),
                         mean(values) + spread(values), color='black',
                         alpha=0.08, linewidth=0)
    for (puzzle, step, start), points in lines.items():
        if start == 'random':
            points.update(everything_random)
        x = sorted(points)
        axes.errorbar(
            x, [mean(points[i]) for i in x], [spread(points[i]) for i in x],
            color=colours[puzzle], linestyle=STYLES[start], marker='o',
            markersize=4, capsize=2, label=f'{puzzle}, {step:,}, {start}')
    axes.set_xticks(range(len(TUNED)), [f'block{name}' for name in TUNED],
                    fontsize=8)
    axes.set(xlabel='blocks that are tuned', ylabel='validation mIoU (%)')


def draw_accuracy(axes: Axes, scores: dict[Cell, list[float]],
                  accuracies: dict[tuple[str, int], float],
                  colours: dict[str, str]) -> None:
    """Tables 2 and 3: a line for each proxy task and choice of blocks."""
    lines: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
    for cell, values in scores.items():
        accuracy = accuracies.get((cell.puzzle, cell.step))
        if cell.start == 'finetune' and accuracy is not None:
            lines.setdefault((cell.puzzle, cell.tuned), []).append(
                (accuracy, mean(values), cell.step))
    for (puzzle, tuned), points in lines.items():
        x, y, steps = zip(*sorted(points))
        axes.plot(x, y, color=colours[puzzle], marker='o', markersize=4,
                  alpha=0.3 + 0.14 * len(tuned),
                  label=f'{puzzle}, block{tuned}')
        for at in zip(x, y, steps):
            axes.annotate(f'{at[2]:,}', at[:2], (4, 4), fontsize=7,
                          textcoords='offset points')
    axes.set(xlabel='accuracy of the puzzles (%)',
             ylabel='validation mIoU (%)')


def draw(scores: dict[Cell, list[float]],
         accuracies: dict[tuple[str, int], float]) -> Figure:
    """The figure, with one or two panels."""
    count = 2 if accuracies else 1
    figure = Figure(figsize=(5.6 * count, 4.0), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, count, squeeze=False)[0]
    puzzles = sorted({cell.puzzle for cell in scores if cell.puzzle})
    colours = {name: f'C{i}' for i, name in enumerate(puzzles)}
    draw_blocks(panels[0], scores, colours)
    if accuracies:
        draw_accuracy(panels[1], scores, accuracies, colours)
    for axes in panels:
        axes.grid(alpha=0.25)
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False, fontsize=7)
    return figure


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw what puzzles are worth to segmentation')
    parser.add_argument('runs', nargs='+', type=Path, metavar='WORK_DIR')
    parser.add_argument(
        '--out', type=Path, required=True, help='the PNG to write')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        scores, accuracies = collect(args.runs)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'transfer_figure.py: {error}')
    print('| puzzles | iterations | accuracy | tuned | start | runs | mIoU |\n'
          '|---|---|---|---|---|---|---|')
    for cell, values in scores.items():
        accuracy = accuracies.get((cell.puzzle, cell.step))
        around = f' ± {spread(values):.2f}' if len(values) > 1 else ''
        print(f'| {cell.puzzle or "none"} | {cell.step or "-"} '
              f'| {"-" if accuracy is None else f"{accuracy:.1f}"} '
              f'| block{cell.tuned} | {cell.start} | {len(values)} '
              f'| {mean(values):.2f}{around} |')
    args.out.parent.mkdir(parents=True, exist_ok=True)
    draw(scores, accuracies).savefig(args.out, dpi=150)
    print(args.out)


if __name__ == '__main__':
    main()
