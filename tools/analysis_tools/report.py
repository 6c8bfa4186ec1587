"""Compare trainings on one HTML page.

``python tools/analysis_tools/report.py OUT.html --run NAME=WORK_DIR ...``

The first run is the baseline. Give several runs the same NAME to show them as
seeds of one thing. ``results_table.py`` prints the same numbers for a README.
"""
import argparse
import sys
from pathlib import Path

import matplotlib

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine.environment import keep_freed_memory, named_run
from mmseg_ssl.visualization.report import write_report
from mmseg_ssl.visualization.run_log import read_run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Compare trainings on one HTML page')
    parser.add_argument('out', type=Path, help='the page to write')
    parser.add_argument(
        '--run', action='append', required=True, type=named_run,
        metavar='NAME=WORK_DIR', help='a training; may be repeated')
    parser.add_argument(
        '--num-images', type=int, default=6,
        help='pictures of the validation set (6); 0 needs neither data nor '
        'checkpoints')
    parser.add_argument('--title', default='Comparison of trainings')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    matplotlib.use('agg')
    keep_freed_memory()
    try:
        runs = [read_run(name, work_dir) for name, work_dir in args.run]
        write_report(runs, args.out, args.num_images, args.title)
    except FileNotFoundError as error:
        sys.exit(f'report.py: {error}')
    for run in runs:
        print(f'{run.name}: {run.score.last:.1f} {run.metric_name} at '
              f'iteration {run.score.steps[-1]} (best {run.best[0]:.1f})')
    print(args.out.resolve())


if __name__ == '__main__':
    main()
