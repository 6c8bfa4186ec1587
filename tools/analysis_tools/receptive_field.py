"""Print receptive field, stride and offset of the layers of a backbone.

``python tools/analysis_tools/receptive_field.py CONFIG`` prints one row per
stage in pixels (``--depth 2``: also per block): the side of the field, the
pixels from cell to cell, and the centre of the first cell counted from the
centre of the first pixel. See Eq. 2-3 of "Self-Supervised Learning with Fully
Convolutional Networks".
"""
import argparse
import sys

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.backbones import receptive_fields


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='path of the config')
    parser.add_argument('--depth', type=int, default=1,
                        help='1: stem and stages (default), 2: their blocks')
    return parser.parse_args()


def find_backbone(model: dict) -> dict | None:
    """Find the first backbone in a model that may wrap others."""
    if 'backbone' in model:
        return model['backbone']
    nested = (find_backbone(part) for part in model.values()
              if isinstance(part, dict))
    return next((backbone for backbone in nested if backbone), None)


def main() -> None:
    """Build the backbone of a config and print its table."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    backbone = find_backbone(cfg.get('model', {}))
    if backbone is None:
        sys.exit(f'{args.config}: model has no backbone')
    try:
        fields = receptive_fields(MODELS.build(backbone), args.depth)
    except ValueError as error:
        sys.exit(f'{args.config}: {backbone["type"]}: {error}')
    print('| layer | field | stride | offset |\n|---|---|---|---|')
    for name, axes in fields.items():
        # height x width where the axes differ
        size, stride, offset = (
            ' x '.join(dict.fromkeys(f'{value:g}' for value in values))
            for values in zip(*axes))
        print(f'| {name} | {size} | {stride} | {offset} |')


if __name__ == '__main__':
    main()
