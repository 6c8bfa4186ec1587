"""Show jigsaw puzzles and what a model makes of them.

``python tools/analysis_tools/jigsaw_figure.py CONFIG CHECKPOINT --out PNG``

One row per image: the image, its puzzle, the patches put back where the model
wants them, and the probability it gives to the true place of each. The last
row has the accuracy by place, over all the images. Without ``--images``
validation images are taken; any others go through the validation pipeline,
too.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmseg.registry import DATASETS, MODELS

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine.environment import CfgOptionsAction, apply_cfg_options
from mmseg_ssl.engine.hooks.preflight_hook import check_checkpoint
from mmseg_ssl.methods.jigsaw import JigsawModel
from mmseg_ssl.visualization.panels import save_panels


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='path of the config of a jigsaw task')
    parser.add_argument('checkpoint', help='path of its checkpoint')
    parser.add_argument(
        '--out', type=Path, required=True, help='the PNG to write')
    parser.add_argument(
        '--images', nargs='+', help='image files (default: validation set)')
    parser.add_argument(
        '--num', type=int, default=4,
        help='rows, evenly spaced over the images (4)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override config entries, e.g. data_root=DIR')
    return parser.parse_args()


def load_model(cfg: Config, checkpoint: str) -> JigsawModel:
    """The model with the weights of a checkpoint, ready to predict.

    Raises:
        ValueError: If the config is not of a jigsaw task.
    """
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if not isinstance(model, JigsawModel):
        raise ValueError(f'{cfg.filename} is not of a jigsaw task: its model '
                         f'is a {type(model).__name__}')
    check_checkpoint(model, checkpoint, 'predict')
    load_checkpoint(model, checkpoint, map_location='cpu')
    model.to(get_device()).eval()
    return model


def load_samples(cfg: Config, images: list[str] | None) -> Sequence[dict]:
    """The images after the validation pipeline."""
    dataset_cfg = cfg.val_dataloader.dataset
    if images is None:
        return DATASETS.build(dataset_cfg)
    missing = [path for path in images if not Path(path).is_file()]
    if missing:
        raise FileNotFoundError(f'no such image: {", ".join(missing)}')
    pipeline = Compose(dataset_cfg.pipeline)
    return [
        pipeline(dict(img_path=path, seg_fields=[], reduce_zero_label=False,
                      label_map=None)) for path in images
    ]


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    apply_cfg_options(cfg, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    MMLogger.get_instance('jigsaw_figure', log_level='WARNING')
    try:
        model = load_model(cfg, args.checkpoint)
        samples = load_samples(cfg, args.images)
        illustration = model.illustrate(samples, args.num)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'jigsaw_figure.py: {error}')
    save_panels(illustration.rows, illustration.titles, args.out,
                scale=illustration.scale)
    print(*illustration.notes, args.out, sep='\n')


if __name__ == '__main__':
    main()
