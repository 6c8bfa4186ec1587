"""Colour the images of a folder with a colorization network.

``python tools/analysis_tools/colorization_figure.py CONFIG CHECKPOINT \\
    --images FOLDER --out PNG``

Each row shows an image, the grey version that the network sees, and the
colours it gives to that. Only the central square of an image is shown.
"""
import argparse
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmseg.registry import DATASETS, MODELS

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine.environment import CfgOptionsAction
from mmseg_ssl.engine.hooks.preflight_hook import check_checkpoint
from mmseg_ssl.methods.colorization import Colorization
from mmseg_ssl.visualization.panels import save_panels


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Colour the images of a folder')
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='path of the checkpoint')
    parser.add_argument(
        '--images', type=Path, required=True, help='folder of images')
    parser.add_argument(
        '--out', type=Path, required=True, help='the PNG to write')
    parser.add_argument(
        '--num', type=int, default=4,
        help='images, evenly spaced in the sorted folder (4)')
    parser.add_argument(
        '--side', type=int,
        help="shorter side of the resized images (that of the config's crop)")
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptionsAction,
        metavar='KEY=VALUE', help='override config entries')
    return parser.parse_args()


def load_model(cfg: Config, checkpoint: str) -> Colorization:
    """The network with the weights of a checkpoint, ready to predict."""
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if not isinstance(model, Colorization):
        raise ValueError(f'{cfg.filename} is the config of a '
                         f'{type(model).__name__}, not of a Colorization')
    check_checkpoint(model, checkpoint, 'predict')
    load_checkpoint(model, checkpoint, map_location='cpu')
    return model.to(get_device()).eval()


def build_dataset(folder: Path, side: int) -> torch.utils.data.Dataset:
    """The images of a folder, the shorter side resized."""
    return DATASETS.build(dict(
        type='UnlabeledDataset',
        data_prefix=dict(img_path=str(folder)),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(100 * side, side), keep_ratio=True),
            dict(type='PackSegInputs'),
        ]))


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    MMLogger.get_instance('colorization_figure', log_level='WARNING')
    try:
        model = load_model(cfg, args.checkpoint)
        dataset = build_dataset(args.images, args.side or min(cfg.crop_size))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'colorization_figure.py: {error}')
    illustration = model.illustrate(dataset, args.num)
    save_panels(illustration.rows, illustration.titles, args.out)
    print(args.out)


if __name__ == '__main__':
    main()
