"""Mean IoU against the number of labels, for several methods and seeds.

::

    python tools/analysis_tools/label_efficiency.py --out DIR \
        --method "Supervised=CONFIG" --method "ReCo + ClassMix=CONFIG" \
        --labels 20 50 150 --seeds 0 1 2 --cfg-options data_root=DATA

trains each method with every number of labels and every seed, one after
another in ``WORK_ROOT/<config>``, and draws the last mIoU: a line through the
means over seeds, a band from the least to the largest. CONFIG has a top-level
``labeled_list``; for N labels and seed K it becomes ``N-seedK.txt`` of the
same folder (or of ``--lists``), and K the seed of the random numbers. Runs
are called ``<config with N in its name>[-sK]``, as configs of their own are.

Called again, finished runs are passed over and others resumed. The records of
finished runs are kept in ``DIR/records``, so their work directories may be
deleted. A run of another list or config than now ends the call: give another
DIR and WORK_ROOT. ``--no-train`` draws what is at hand; ``--records`` names
folders with records of earlier runs, which are taken by their names. Writes
``label_efficiency.png``, ``.md`` and ``.json``.
"""
import argparse
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import matplotlib
import matplotlib.pyplot as plt
from mmengine.config import Config

from mmseg_ssl.apis.files import writable_folder
from mmseg_ssl.engine.environment import read_config
from mmseg_ssl.engine.progress import (
    check_options,
    config_digest,
    is_finished,
    record_options,
    requested_config,
)
from mmseg_ssl.visualization.label_efficiency import (
    Runs,
    curves_json,
    curves_markdown,
    draw_curves,
)
from mmseg_ssl.visualization.run_log import RunRecord, file_hash, read_run

TRAIN = Path(__file__).resolve().parents[1] / 'train.py'
NOTE = '.made_of'  # suffix: the list and the config of a run, as digests


class PlannedRun(NamedTuple):
    """One training of the plan."""

    method: str
    labels: int
    seed: int
    name: str
    config: Path
    labeled_list: Path
    cfg_options: list[str]

    @property
    def options(self) -> list[str]:
        """What the training gets beside its config."""
        return [*self.cfg_options, f'labeled_list={self.labeled_list}',
                f'randomness.seed={self.seed}']

    @property
    def cfg(self) -> Config:
        return requested_config(self.config, self.options)

    @property
    def made_of(self) -> dict[str, str]:
        """Digests of what makes the result."""
        return {'list of labelled images': file_hash(self.labeled_list),
                'config': config_digest(self.cfg, str(self.labeled_list))}


def named_config(text: str) -> tuple[str, Path]:
    """Split NAME=CONFIG."""
    name, separator, config = text.partition('=')
    if not separator or not name or not config:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not of the form NAME=CONFIG')
    return name, Path(config)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw mean IoU against the number of labels')
    parser.add_argument(
        '--method', action='append', required=True, type=named_config,
        metavar='NAME=CONFIG', help='a method; may be repeated')
    parser.add_argument('--labels', type=int, nargs='+', required=True)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--lists', type=Path, help='folder of the lists N-seedK.txt (that of '
        "the config's labeled_list)")
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--work-root', type=Path, default=Path('work_dirs'))
    parser.add_argument(
        '--records', type=Path, nargs='+', default=[], metavar='DIR',
        help='folders with records of results_table.py --save')
    parser.add_argument(
        '--no-train', action='store_true', help='draw what is at hand')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
        help='handed to every training')
    return parser.parse_args()


def run_name(stem: str, labels: int, seed: int) -> str:
    """Name of a run: that of its config, with its labels and seed."""
    stem = re.sub(r'-s\d+$', '', stem)
    named, count = re.subn(r'-\d+l(?=-|$)', f'-{labels}l', stem, count=1)
    named = named if count else f'{stem}-{labels}l'
    return f'{named}-s{seed}' if seed else named


def list_folder(config: Path, given: Path | None) -> Path:
    """Where the lists of labelled images are.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: It has no such list.
    """
    cfg = read_config(str(config))
    if 'labeled_list' not in cfg:
        raise ValueError(
            f'{config} has no top-level labeled_list, the list of its '
            'labelled images; put it into the config and let ann_file be it')
    return (given or Path(cfg.labeled_list).parent).resolve()


def missing_list(path: Path) -> str:
    """What to do about a list that does not exist."""
    found = sorted(
        tuple(map(int, match.groups())) for other in path.parent.glob('*.txt')
        if (match := re.fullmatch(r'(\d+)-seed(\d+)\.txt', other.name)))
    if not found:
        advice = 'name the folder that has such lists by --lists'
    else:
        names = [f'{labels}-seed{seed}.txt' for labels, seed in found]
        advice = (f'choose --labels and --seeds by what is there: '
                  f'{", ".join(names)}')
    return (f'the list {path} does not exist; make it, by hand or by '
            f'tools/dataset_tools/make_label_lists.py, or {advice}')


def plan_runs(args: argparse.Namespace) -> list[PlannedRun]:
    """All trainings, seed after seed, so that curves exist early.

    Raises:
        FileNotFoundError: A list of labelled images does not exist.
        ValueError: Two methods share a name or the name of a run.
    """
    folders = [list_folder(config, args.lists) for _, config in args.method]
    plan = []
    for seed in args.seeds:
        for labels in args.labels:
            for (method, config), folder in zip(
                    args.method, folders, strict=True):
                path = folder / f'{labels}-seed{seed}.txt'
                if not path.is_file():
                    raise FileNotFoundError(missing_list(path))
                plan.append(PlannedRun(
                    method, labels, seed, run_name(config.stem, labels, seed),
                    config, path, args.cfg_options))
    for names in ([method for method, _ in args.method],
                  [run.name for run in plan]):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f'{", ".join(twice)} stands twice in the plan; '
                             'names of methods and runs must differ')
    return plan


def check_made_of(run: PlannedRun, note: Path, result: Path) -> None:
    """Do not take a run for another one of its name.

    Args:
        run (PlannedRun): What is asked for.
        note (Path): Digests of what was trained; without it any will do.
        result (Path): What is there.

    Raises:
        ValueError: It was made of something else.
    """
    if not (note.is_file() and result.exists()):
        return
    try:
        before = json.loads(note.read_text())
        others = [what for what, digest in run.made_of.items()
                  if before[what] != digest]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{note} is damaged; delete it') from error
    if others:
        raise ValueError(
            f'{result} is of another {" and another ".join(others)} than '
            f'{run.config} with {run.labeled_list} now; give another --out '
            'and --work-root, or delete it to train anew')


def check_runs(plan: list[PlannedRun], args: argparse.Namespace) -> None:
    """See whether what earlier calls left is what is asked for.

    Raises:
        ValueError: Names what is not.
    """
    # labels and seed are in the names, as of configs of their own
    for folder in (args.out, *(args.work_root / run.name for run in plan)):
        check_options(folder, args.cfg_options)
    for run in plan:
        record = args.out / 'records' / f'{run.name}.json'
        check_made_of(run, record.with_suffix(NOTE), record)
        work_dir = args.work_root / run.name
        if (work_dir / 'last_checkpoint').is_file():
            check_made_of(run, work_dir / f'run{NOTE}', work_dir)


def saved_record(run: PlannedRun, folders: list[Path],
                 length: int | None) -> RunRecord | None:
    """The record of a run of the right length, None if there is none."""
    for folder in folders:
        path = folder / f'{run.name}.json'
        if not path.is_file():
            continue
        record = RunRecord.from_json(run.name, path.read_text())
        if length is None or record.iterations == length:
            return record
        print(f'passed over: {path} is of {record.iterations} iterations, '
              f'not {length}', file=sys.stderr)
    return None


def find_record(run: PlannedRun,
                args: argparse.Namespace) -> RunRecord | None:
    """What a finished run left, None if there is no finished one."""
    cfg, own = run.cfg, args.out / 'records'
    length = cfg.train_cfg.get('max_iters')
    record = saved_record(run, [own], length)
    if record is not None:
        return record
    record = saved_record(run, args.records, length)
    note = None
    work_dir = args.work_root / run.name
    if record is None and is_finished(cfg, work_dir):
        found = read_run(run.name, work_dir)
        record = replace(found, checkpoint_hash=file_hash(found.checkpoint))
        note = work_dir / f'run{NOTE}'
    if record is not None:
        keep_record(record, note, own)
    return record


def keep_record(record: RunRecord, note: Path | None, folder: Path) -> None:
    """Write a record and what it was made of, if that is known."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{record.name}.json'
    path.write_text(record.to_json())
    if note is not None and note.is_file():
        shutil.copyfile(note, path.with_suffix(NOTE))
    else:
        path.with_suffix(NOTE).unlink(missing_ok=True)


def train(run: PlannedRun, args: argparse.Namespace) -> None:
    """Train to the end, from where an earlier call stopped.

    Raises:
        RuntimeError: The training failed.
    """
    work_dir = args.work_root / run.name
    record_options(work_dir, args.cfg_options)
    if not (work_dir / 'last_checkpoint').is_file():
        (work_dir / f'run{NOTE}').write_text(json.dumps(run.made_of) + '\n')
    command = [sys.executable, TRAIN, run.config, '--work-dir', work_dir,
               '--resume', '--cfg-options', *run.options]
    if subprocess.run(command).returncode:
        raise RuntimeError(run.name)


def collect(plan: list[PlannedRun],
            args: argparse.Namespace) -> tuple[Runs, list[str]]:
    """Find or train every run; what there is, and what failed.

    Curves are written after each new run.
    """
    runs: Runs = {run.method: {} for run in plan}
    failed = []
    for number, run in enumerate(plan, 1):
        found = runs[run.method].setdefault(run.labels, [])
        position = f'[{number}/{len(plan)}] {run.name}'
        record = find_record(run, args)
        if record is None and not args.no_train:
            print(f'{position}: training', flush=True)
            try:
                train(run, args)
                record = find_record(run, args)
            except RuntimeError:
                failed.append(run.name)
        else:
            print(f'{position}: {"finished" if record else "not finished"}')
        if record is not None:
            found.append(record)
            if not args.no_train:
                write(runs, args.out)
    return runs, failed


def write(runs: Runs, out: Path) -> None:
    """Write the picture, the tables and the data."""
    path = out / 'label_efficiency'
    figure = draw_curves(runs)
    figure.savefig(path.with_suffix('.png'), dpi=150)
    plt.close(figure)
    path.with_suffix('.md').write_text(curves_markdown(runs))
    path.with_suffix('.json').write_text(curves_json(runs))


def main() -> None:
    args = parse_args()
    matplotlib.use('agg')
    try:
        writable_folder(args.out)
        plan = plan_runs(args)
        check_runs(plan, args)
        record_options(args.out, args.cfg_options)
        runs, failed = collect(plan, args)
        write(runs, args.out)
    except (OSError, ValueError) as error:
        sys.exit(f'label_efficiency.py: {error}')
    print((args.out / 'label_efficiency.md').read_text())
    print((args.out / 'label_efficiency.png').resolve())
    if failed:
        sys.exit(f'failed: {", ".join(failed)}')


if __name__ == '__main__':
    main()
