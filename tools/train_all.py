"""Train several configs one after another: the rows of a table.

``python tools/train_all.py CONFIG [CONFIG ...] --work-root DIR`` runs
``tools/train.py`` for each config in ``DIR/<config name>``. Called again, it
passes over what is finished and resumes what is not, with the same
``--cfg-options``: other ones are refused (those that name the data root or
concern loader workers may change). A failed row does not stop the others; the
exit status then is 1.
"""
import argparse
import subprocess
import sys
from pathlib import Path

from mmseg_ssl.engine.progress import (
    check_options,
    is_finished,
    record_options,
    requested_config,
)

TRAIN = Path(__file__).with_name('train.py')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Train several configs one after another')
    parser.add_argument('configs', nargs='+', type=Path)
    parser.add_argument('--work-root', type=Path, default=Path('work_dirs'))
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='handed to every training')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        for config in args.configs:
            check_options(args.work_root / config.stem, args.cfg_options)
    except ValueError as error:
        sys.exit(f'train_all.py: {error} (--work-root)')
    failed = []
    for i, config in enumerate(args.configs, 1):
        work_dir = args.work_root / config.stem
        position = f'[{i}/{len(args.configs)}] {config.stem}'
        cfg = requested_config(config, args.cfg_options)
        if is_finished(cfg, work_dir):
            print(f'{position}: finished before', flush=True)
            continue
        print(f'{position}: training', flush=True)
        record_options(work_dir, args.cfg_options)
        command = [
            sys.executable, TRAIN, config, '--work-dir', work_dir, '--resume'
        ]
        if args.cfg_options:
            command += ['--cfg-options', *args.cfg_options]
        if subprocess.run(command).returncode:
            failed.append(config.stem)
    if failed:
        sys.exit(f'failed: {", ".join(failed)}')


if __name__ == '__main__':
    main()
