"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``.

Options as in mmseg's tool of the same name. In addition several processes
evaluate on CPUs too, ``--cfg-options data_root=DIR`` reaches every dataset,
and ``--server DIR`` writes predictions of test images without labels for an
evaluation server: the config's ``server_test`` says which, and how.
"""
import argparse
import os
import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.apis.files import writable_folder
from mmseg_ssl.engine.environment import (
    CfgOptionsAction,
    apply_cfg_options,
    existing_checkpoint,
    init_cpu_distributed,
    keep_freed_memory,
    read_config,
)
from mmseg_ssl.engine.hooks.preflight_hook import RefusedRun


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint')
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='path of the checkpoint')
    parser.add_argument(
        '--work-dir', help='log and metrics (work_dirs/<config name>)')
    parser.add_argument(
        '--out', help='folder for the predicted label maps, for evaluation '
        'elsewhere')
    parser.add_argument(
        '--server', metavar='DIR',
        help="folder for predictions of the config's server_test, in the "
        "server's format")
    parser.add_argument(
        '--show', action='store_true', help='show predictions in a window')
    parser.add_argument(
        '--show-dir', help='folder for pictures of truth and prediction')
    parser.add_argument(
        '--wait-time', type=float, default=2,
        help='seconds per picture with --show')
    parser.add_argument(
        '--tta', action='store_true', help='test-time augmentation')
    parser.add_argument(
        '--crf', action='store_true',
        help='a dense CRF behind the predictions (pip install pydensecrf2), '
        'with the options in crf_model of the config')
    parser.add_argument(
        '--ensemble', nargs=2, action='append', default=[],
        metavar=('CONFIG', 'CHECKPOINT'),
        help='average class probabilities with this model; may be repeated')
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptionsAction,
        metavar='KEY=VALUE', help='override config entries, e.g. '
        'test_dataloader.batch_size=4 '
        'data_root=DIR key="[(a,b),(c,d)]"')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none')
    # torch.distributed.launch passes one spelling or the other by version
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def draw_predictions(cfg: Config, args: argparse.Namespace) -> None:
    """Make the visualization hook paint every picture."""
    if 'visualization' not in cfg.default_hooks:
        sys.exit("--show and --show-dir need default_hooks.visualization="
                 "dict(type='SegVisualizationHook') in the config")
    hook = cfg.default_hooks.visualization
    hook.update(draw=True, interval=1)
    if args.show:
        hook.update(show=True, wait_time=args.wait_time)
    if args.show_dir:
        cfg.visualizer.save_dir = args.show_dir


def use_tta(cfg: Config) -> None:
    """Wrap the model for test-time augmentation."""
    missing = [k for k in ('tta_model', 'tta_pipeline') if k not in cfg]
    if missing:
        sys.exit(f'--tta: the config lacks {" and ".join(missing)}')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=cfg.model)


def use_crf(cfg: Config) -> None:
    """Put a dense CRF behind the model."""
    options = cfg.get('crf_model', dict(type='DenseCRFSegmentor'))
    cfg.model = dict(options, module=cfg.model)


def save_label_maps(cfg: Config, folder: str) -> None:
    """Make every metric of the test write its predictions as PNG files."""
    metrics = cfg.test_evaluator
    for metric in metrics if isinstance(metrics, list) else [metrics]:
        metric.update(output_dir=folder, keep_results=True)


def predict_for_server(cfg: Config, folder: str) -> None:
    """Predict the images of ``server_test`` instead of those of the test."""
    if 'server_test' not in cfg:
        sys.exit(f'--server: {cfg.filename} has no server_test=dict(dataset='
                 'dict(...), evaluator=dict(...)), as in configs/_base_/'
                 'datasets/mix_and_match/voc12aug_512x512.py')
    cfg.test_dataloader.dataset = cfg.server_test.dataset
    cfg.test_evaluator = dict(cfg.server_test.evaluator, output_dir=folder)


def use_ensemble(cfg: Config, others: list[list[str]]) -> None:
    """Let the config's model predict together with others."""
    members = [dict(model=cfg.model, checkpoint=cfg.load_from)]
    for config, checkpoint in others:
        members.append(dict(
            model=read_config(config).model,
            checkpoint=existing_checkpoint(checkpoint)))
    cfg.model = dict(type='SegmentorEnsemble', members=members)
    cfg.load_from = None  # each member loads its own


def load_config(args: argparse.Namespace) -> Config:
    """The config with everything the command line says about it.

    Raises:
        OSError: A config or checkpoint does not exist, or the work directory
            cannot be written to.
        ValueError: An option does not fit the config.
    """
    cfg = read_config(args.config)
    apply_cfg_options(cfg, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = (args.work_dir or cfg.get('work_dir')
                    or f'work_dirs/{Path(args.config).stem}')
    cfg.load_from = args.checkpoint
    if args.server and (args.out or args.tta):
        sys.exit(f'--server and {"--out" if args.out else "--tta"}: choose '
                 'one of them')
    if args.server:
        predict_for_server(cfg, args.server)
    if args.show or args.show_dir:
        draw_predictions(cfg, args)
    if bool(args.ensemble) + args.tta + args.crf > 1:
        sys.exit('--ensemble, --tta and --crf: choose one of them')
    if args.ensemble:
        use_ensemble(cfg, args.ensemble)
    if args.tta:
        use_tta(cfg)
    if args.crf:
        use_crf(cfg)
    if args.out:
        save_label_maps(cfg, args.out)
    existing_checkpoint(args.checkpoint)
    writable_folder(cfg.work_dir)
    return cfg


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    try:
        cfg = load_config(args)
    except (OSError, ValueError) as error:
        sys.exit(f'test.py: {error}')
    init_cpu_distributed(cfg)
    try:
        Runner.from_cfg(cfg).test()
    except RefusedRun as error:
        sys.exit(f'test.py: {error}')


if __name__ == '__main__':
    main()
