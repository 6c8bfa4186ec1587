"""Print the Markdown rows of trainings, read from their logs.

``python tools/analysis_tools/results_table.py WORK_DIR [WORK_DIR ...]``
prints one row per work directory: config, seed, mean IoU on the validation
split (last and best), peak memory, and the first digits of the SHA-256 of the
record. ``--save DIR`` writes the records, a few kilobytes each, so that a
number can be traced to what produced it; given a record instead of a work
directory, the tool prints its row again.
"""
import argparse
import sys
from pathlib import Path

from mmseg_ssl.visualization.run_log import RunRecord, read_run

HEADER = ('| config | seed | iterations | last mIoU | best mIoU (iteration) '
          '| s/iter | peak MB | log |\n|---|---|---|---|---|---|---|---|')


def read(path: Path) -> RunRecord:
    """A work directory, or a record that ``--save`` has written."""
    if path.is_dir():
        return read_run(path.resolve().name, path)
    return RunRecord.from_json(path.stem, path.read_text())


def row(run: RunRecord) -> str:
    """One training as a row of a Markdown table."""
    best, iteration = run.miou.best
    seconds, memory = run.seconds_per_iteration, run.peak_memory
    return (f'| {run.name} | {run.seed} | {run.iterations} '
            f'| {run.miou.last:.2f} | {best:.2f} ({iteration}) '
            f'| {"" if seconds is None else f"{seconds:.2f}"} '
            f'| {"" if memory is None else f"{memory:.0f}"} '
            f'| {run.log_hash} |')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0])
    parser.add_argument('runs', nargs='+', type=Path, metavar='WORK_DIR')
    parser.add_argument(
        '--save', type=Path, metavar='DIR', help='write the records there')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    print(HEADER)
    for path in args.runs:
        try:
            run = read(path)
        except (FileNotFoundError, ValueError) as error:
            print(f'passed over: {error}', file=sys.stderr)
            continue
        print(row(run), flush=True)
        if args.save:
            args.save.mkdir(parents=True, exist_ok=True)
            args.save.joinpath(f'{run.name}.json').write_text(run.to_json())


if __name__ == '__main__':
    main()
