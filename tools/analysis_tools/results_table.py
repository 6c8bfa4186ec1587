"""Print the Markdown rows of finished trainings, read from their logs.

``python tools/analysis_tools/results_table.py WORK_DIR [WORK_DIR ...]``
prints one row per work directory: config, seed, mean IoU on the validation
split (last and best), peak memory, device, and the first digits of the
SHA-256 of the logs, so that a number can be traced to what produced it.
"""
import argparse
from pathlib import Path

from mmseg_ssl.visualization.run_log import TrainingRun, read_run

HEADER = ('| config | seed | iterations | last mIoU | best mIoU (iteration) '
          '| s/iter | peak MB | log |\n|---|---|---|---|---|---|---|---|')


def row(run: TrainingRun) -> str:
    """One training as a row of a Markdown table."""
    best, iteration = run.miou.best
    return (f'| {run.name} | {run.seed} | {run.iterations} '
            f'| {run.miou.last:.2f} | {best:.2f} ({iteration}) '
            f'| {run.seconds_per_iteration:.2f} | {run.peak_memory:.0f} '
            f'| {run.log_hash} |')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dirs', nargs='+', type=Path)
    print(HEADER)
    for work_dir in parser.parse_args().work_dirs:
        print(row(read_run(work_dir.name, work_dir)))


if __name__ == '__main__':
    main()
