"""Print the Markdown rows of trainings, read from their logs.

``python tools/analysis_tools/results_table.py WORK_DIR [WORK_DIR ...]``
prints one row per work directory: config, seed, what ranks runs of its kind
(mean IoU of segmentation; last and best; the loss of training where nothing is
validated), peak memory, device, and the first
digits of the SHA-256 of the record and of the last checkpoint. ``--save DIR``
writes the records, a few kilobytes each, so that a number can be traced to
what produced it; given a record instead of a work directory, the tool prints
its row again. ``tools/build_model_zoo.py`` puts saved records into the tables
of the pages beside them.
"""
import argparse
import sys
from dataclasses import replace
from pathlib import Path

from mmseg_ssl.apis.files import writable_folder
from mmseg_ssl.visualization.results import header, row
from mmseg_ssl.visualization.run_log import RunRecord, file_hash, read_run


def read(path: Path, prefix: str = '') -> RunRecord:
    """A work directory, or a record that ``--save`` has written.

    Raises:
        FileNotFoundError: It is neither.
        ValueError: The file is no record.
    """
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist; give the work '
                                'directory of a training, or its record')
    if not path.is_dir():
        return RunRecord.from_json(path.stem, path.read_text())
    run = read_run(prefix + path.resolve().name, path)
    try:
        return replace(run, checkpoint_hash=file_hash(run.checkpoint))
    except FileNotFoundError:  # deleted: the record does without
        return run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0])
    parser.add_argument('runs', nargs='+', type=Path, metavar='WORK_DIR')
    parser.add_argument(
        '--save', type=Path, metavar='DIR', help='write the records there')
    parser.add_argument(
        '--prefix', default='', metavar='TEXT',
        help='before the names of the runs, to tell apart those of one '
        'config in different folders')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.save:
        try:
            writable_folder(args.save)
        except OSError as error:
            sys.exit(f'results_table.py: {error}')
    metric = None
    for path in args.runs:
        try:
            run = read(path, args.prefix)
        except (FileNotFoundError, ValueError) as error:
            print(f'passed over: {error}', file=sys.stderr)
            continue
        if run.metric_name != metric:  # a table of its own
            print('' if metric is None else '\n', end='')
            metric = run.metric_name
            print(header(metric))
        print(row(run), flush=True)
        if args.save:
            args.save.mkdir(parents=True, exist_ok=True)
            args.save.joinpath(f'{run.name}.json').write_text(run.to_json())


if __name__ == '__main__':
    main()
