"""Train stages one after another, each starting from the one before.

``python tools/run_chain.py PROXY MIX_AND_MATCH FINE_TUNING --work-root DIR``
runs ``tools/train.py`` for each config in ``DIR/<config name>``; the backbone
of a stage starts with the weights of the last checkpoint of the stage before.
Heads start afresh. Called again, the chain passes over the stages that are
finished and resumes the one that is not. At the end,
``DIR/report-<last stage>.md`` has a row for each stage.

Several chains can share a stage: run it once, and give its work directory to
each of the others as ``--start-from``; it must be finished. A checkpoint can
be given as well, of any iteration.
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmseg.registry import MODELS

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine.progress import (
    is_finished,
    latest_checkpoint,
    requested_config,
)
from mmseg_ssl.visualization.run_log import read_curves

TOOLS = Path(__file__).parent
# Where checkpoints keep the backbone, of plain models and of Mean Teachers.
PREFIXES = ('backbone.', 'teacher.module.backbone.', 'student.backbone.')
ORIGIN = 'started_from.json'
SHOWN = 3


class ChainError(Exception):
    """A reason to stop, to be shown without a traceback."""


class Stage(NamedTuple):
    """One training of the chain."""

    config: Path
    work_dir: Path

    @property
    def name(self) -> str:
        return self.config.stem


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Train stages, each starting from the one before')
    parser.add_argument('configs', nargs='+', type=Path)
    parser.add_argument('--work-root', type=Path, required=True)
    parser.add_argument(
        '--start-from', type=Path,
        help='checkpoint, or work directory of a stage, for the first stage')
    parser.add_argument(
        '--gpus', type=int, default=0,
        help='processes of each training, by tools/dist_train.sh; 0 (default) '
        'trains in a single process')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
        help='handed to every training')
    return parser.parse_args()


def find_stages(configs: list[Path], work_root: Path) -> list[Stage]:
    """Pair configs with work directories.

    Raises:
        ChainError: A config is missing or appears twice.
    """
    missing = [str(path) for path in configs if not path.is_file()]
    if missing:
        raise ChainError(f'no such config: {", ".join(missing)}')
    stages = [Stage(path.resolve(), (work_root / path.stem).resolve())
              for path in configs]
    names = [stage.name for stage in stages]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ChainError(f'{", ".join(twice)} stands twice in the chain; '
                         'stages share a work root, so names must differ')
    return stages


def checkpoint_of(path: Path, whose: str) -> Path:
    """The checkpoint at a path: the file itself, or the last of a folder.

    Raises:
        ChainError: There is none.
    """
    try:
        checkpoint = path if path.is_file() else latest_checkpoint(path)
    except FileNotFoundError as error:
        raise ChainError(f'{whose}: {error}') from error
    if checkpoint is None:
        raise ChainError(f'{whose}: there is no checkpoint in {path}')
    return checkpoint.resolve()


def starting_checkpoint(path: Path) -> Path:
    """The checkpoint that ``--start-from`` names.

    Raises:
        ChainError: There is none, or the training of this folder did not
            come to its end.
    """
    checkpoint = checkpoint_of(path, '--start-from')
    if path.is_dir():
        state = CheckpointLoader.load_checkpoint(
            str(checkpoint), map_location='cpu')
        if 'message_hub' in state:  # else weights, not left by a training
            done = state['meta']['iter']
            planned = state['message_hub']['runtime_info']['max_iters']
            if done < planned:
                raise ChainError(
                    f'--start-from: the training in {path} is not finished, '
                    f'{checkpoint.name} is of iteration {done} of {planned}; '
                    'go on with it, or name the checkpoint itself')
    return checkpoint


def backbone_weights(
        checkpoint: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """The backbone in a checkpoint: its prefix, and its weights without it.

    Raises:
        ChainError: The file holds no backbone.
    """
    state = CheckpointLoader.load_checkpoint(
        str(checkpoint), map_location='cpu')
    state = state.get('state_dict', state)
    for prefix in PREFIXES:
        weights = {name.removeprefix(prefix): value
                   for name, value in state.items() if name.startswith(prefix)}
        if weights:
            return prefix, weights
    raise ChainError(f'{checkpoint} holds no weights of a backbone: no name '
                     f'starts with {" or ".join(PREFIXES)}')


def check_backbone(stage: Stage, cfg: Config, checkpoint: Path,
                   weights: dict[str, torch.Tensor]) -> str:
    """Compare weights with the backbone that is to start with them.

    Returns:
        str: One line on what is taken over and what is not.

    Raises:
        ChainError: A tensor differs in shape, or none is taken over.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    model_cfg = cfg.model.get('segmentor', cfg.model)
    own = MODELS.build(model_cfg.backbone).state_dict()
    resized = [
        f'{name} is {tuple(weights[name].shape)} there and '
        f'{tuple(value.shape)} here' for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]
    fresh = [name for name in own if name not in weights]
    if resized or len(fresh) == len(own):
        reason = '; '.join(resized[:SHOWN]) or 'no tensor has the same name'
        raise ChainError(
            f'{stage.name}: its backbone ({model_cfg.backbone.type}) cannot '
            f'start from {checkpoint}: {reason}. Give all stages the same '
            'backbone')
    line = f'{len(own) - len(fresh)} tensors of the backbone are taken over'
    if fresh:
        more = f' and {len(fresh) - SHOWN} more' if len(fresh) > SHOWN else ''
        line += f', {", ".join(fresh[:SHOWN])}{more} start afresh'
    return line


def starting_config(stage: Stage, checkpoint: Path | None,
                    folder: Path) -> Path:
    """Write the config of a stage that starts from a checkpoint.

    Raises:
        ChainError: The weights do not fit.
    """
    if checkpoint is None:
        return stage.config
    cfg = Config.fromfile(stage.config)
    prefix, weights = backbone_weights(checkpoint)
    print(f'  {check_backbone(stage, cfg, checkpoint, weights)}', flush=True)
    if 'transfer' in cfg.model:  # chooses among the blocks itself
        start = dict(transfer=dict(checkpoint=str(checkpoint), prefix=prefix))
    else:
        model_cfg = cfg.model.get('segmentor', cfg.model)
        own = model_cfg.backbone.get('init_cfg') or []
        own = [own] if isinstance(own, dict) else list(own)
        pretrained = dict(type='Pretrained', checkpoint=str(checkpoint),
                          prefix=prefix)
        # mmengine applies it after the others, whatever the order
        backbone = dict(init_cfg=[*map(dict, own), pretrained])
        start = dict(backbone=backbone)
        if 'segmentor' in cfg.model:
            start = dict(segmentor=start)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / stage.config.name
    path.write_text(f'_base_ = [{str(stage.config)!r}]\nmodel = {start!r}\n')
    return path


def check_origin(stage: Stage, origin: Path | None) -> None:
    """Refuse to go on with a stage that was started from something else.

    Raises:
        ChainError: Names both origins.
    """
    record = stage.work_dir / ORIGIN
    started = latest_checkpoint(stage.work_dir) is not None
    if record.is_file():
        before = json.loads(record.read_text())
    elif started:
        before = 'something unknown (it has no record of a chain)'
    else:
        return
    if started and before != (str(origin) if origin else None):
        raise ChainError(
            f'{stage.work_dir} holds a training that was started from '
            f'{before or "random weights"}, not from '
            f'{origin or "random weights"}; choose another --work-root or '
            'remove it')


def run_stage(stage: Stage, origin: Path | None,
              args: argparse.Namespace) -> Path:
    """Train, or go on, or pass over; returns the last checkpoint.

    Raises:
        ChainError: The training failed or left no last checkpoint.
    """
    requested = requested_config(stage.config, args.cfg_options)
    try:
        check_origin(stage, origin)
        if is_finished(requested, stage.work_dir):
            print('  finished before', flush=True)
            return checkpoint_of(stage.work_dir, stage.name)
    except FileNotFoundError as error:
        raise ChainError(f'{stage.name}: {error}') from error
    config = starting_config(stage, origin, args.work_root / 'configs')
    stage.work_dir.mkdir(parents=True, exist_ok=True)
    (stage.work_dir / ORIGIN).write_text(
        json.dumps(str(origin) if origin else None))
    options = ['--work-dir', stage.work_dir, '--resume']
    if args.cfg_options:
        options += ['--cfg-options', *args.cfg_options]
    command = [sys.executable, TOOLS / 'train.py', config, *options]
    if args.gpus:
        command = ['bash', TOOLS / 'dist_train.sh', config, str(args.gpus),
                   *options]
    if subprocess.run(command).returncode:
        raise ChainError(f'{stage.name}: the training failed; see above and '
                         f'{stage.work_dir}')
    if not is_finished(requested, stage.work_dir):
        raise ChainError(
            f'{stage.name}: the training ended without a checkpoint of its '
            f'last iteration in {stage.work_dir}; is there a CheckpointHook '
            'in its config?')
    return checkpoint_of(stage.work_dir, stage.name)


def report_row(stage: Stage, origin: Path | None) -> str:
    """One stage as a row of a Markdown table."""
    train, val = read_curves(stage.work_dir)
    losses = ', '.join(f'{name} {curve.last:.4g}'
                       for name, curve in train.items()
                       if name.split('.')[-1].startswith('loss'))
    scores = ', '.join(f'{name} {curve.last:.2f}'
                       for name, curve in val.items()
                       if name not in ('time', 'data_time'))
    steps = [curve.steps[-1] for curve in train.values()]
    seconds = f'{median(train["time"].values):.2f}' if 'time' in train else '-'
    before = origin.parent.name if origin else '-'
    return (f'| {stage.name} | {before} | {max(steps, default="-")} '
            f'| {seconds} | {losses or "-"} | {scores or "-"} |')


def write_report(stages: list[Stage], origins: list[Path | None],
                 path: Path) -> None:
    """Write and print the table of all stages."""
    lines = ['| stage | starts from | iterations | s/iter | losses at the end '
             '| last validation |', '|---|---|---|---|---|---|']
    lines += [report_row(stage, origin)
              for stage, origin in zip(stages, origins)]
    path.write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))
    print(path.resolve())


def run_chain(args: argparse.Namespace) -> None:
    """Run all stages and report on them."""
    stages = find_stages(args.configs, args.work_root)
    checkpoint = args.start_from and starting_checkpoint(args.start_from)
    origins = []
    for i, stage in enumerate(stages, 1):
        print(f'[{i}/{len(stages)}] {stage.name}', flush=True)
        origins.append(checkpoint)
        checkpoint = run_stage(stage, checkpoint, args)
    # chains that share a work root must not overwrite each other's
    write_report(stages, origins,
                 args.work_root / f'report-{stages[-1].name}.md')


def main() -> None:
    args = parse_args()
    try:
        run_chain(args)
    except ChainError as error:
        sys.exit(f'run_chain.py: {error}')


if __name__ == '__main__':
    main()
