"""Show what a config trains on.

``python tools/analysis_tools/browse_dataset.py CONFIG [--checkpoint CKPT]``

Writes ``labeled.png``: labelled samples as the network receives them. With
unlabelled data in the config also ``unlabeled.png``: images, the teacher's
pseudo-labels and confidence, and the mixed batch that the student learns
from, made by the model's own training steps. Without a checkpoint the teacher
has its initial weights.
"""
import argparse
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint, set_random_seed
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.engine.environment import (
    CfgOptionsAction,
    apply_cfg_options,
)
from mmseg_ssl.engine.hooks.preflight_hook import (
    check_checkpoint,
)
from mmseg_ssl.visualization.panels import (
    Panel,
    class_swatches,
    confidence_panel,
    denormalize,
    label_panel,
    save_panels,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Show what a config trains on')
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        '--checkpoint', help='weights of the teacher (initial weights)')
    parser.add_argument(
        '--num', type=int, default=4, help='samples of each kind (4)')
    parser.add_argument(
        '--out-dir', type=Path,
        help='folder for the pictures (work_dirs/browse/<config name>)')
    parser.add_argument(
        '--seed', type=int, default=0, help='other numbers, other samples (0)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override config entries, e.g. data_root=DIR')
    args = parser.parse_args()
    if args.num < 2:
        parser.error('--num must be at least 2: images are mixed in pairs')
    return args


def load_batch(cfg: Config, num: int, seed: int) -> tuple[dict, dict]:
    """Draw a batch of the training set; returns it and the metainfo."""
    loader = dict(cfg.train_dataloader)
    loader.pop('prefetch_factor', None)
    loader.update(batch_size=num, num_workers=0, persistent_workers=False)
    loader = Runner.build_dataloader(loader, seed=seed)
    return next(iter(loader)), loader.dataset.metainfo


def build_model(cfg: Config, checkpoint: str | None) -> BaseModel:
    """The model as at the start of training, or from a checkpoint."""
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if checkpoint is not None:
        check_checkpoint(model, checkpoint, 'predict')
        load_checkpoint(model, checkpoint, map_location='cpu')
    else:
        model.init_weights()
        if hasattr(model, 'teacher'):
            model.teacher.synchronize(model.student)
    return model.to(get_device()).train()


def stem(sample: Any) -> str:
    """Name of a sample's image file."""
    return Path(sample.img_path).stem


def sure_share(confidence: Tensor, labels: Tensor, threshold: float) -> str:
    """How much of an image a teacher is sure of, in words."""
    valid = labels != IGNORE_INDEX
    sure = (valid & (confidence > threshold)).sum() / valid.sum().clamp(min=1)
    return f'{sure:.0%} above {threshold}'


def show_labeled(images: Tensor, samples: SampleList, model: BaseModel,
                 metainfo: dict, out: Path) -> None:
    """Write a picture of labelled samples, two pairs a row."""
    pixels = denormalize(images, model.data_preprocessor)
    labels = [sample.gt_sem_seg.data.squeeze(0) for sample in samples]
    pairs = [[
        Panel(pixels[i], stem(sample)),
        label_panel(labels[i], metainfo['palette'])
    ] for i, sample in enumerate(samples)]
    per_row = min(2, len(pairs))
    rows = [
        list(chain.from_iterable(pairs[i:i + per_row]))
        for i in range(0, len(pairs), per_row)
    ]
    save_panels(rows, ['image', 'labels'] * per_row, out,
                class_swatches(labels, metainfo['classes'],
                               metainfo['palette']))


@torch.no_grad()
def show_unlabeled(images: Tensor, samples: SampleList, model: BaseModel,
                   metainfo: dict, out: Path) -> None:
    """Write a picture of what the teacher says and the student learns from.

    Args:
        images (Tensor): Unlabelled images, shape (B, 3, H, W).
        samples (list[SegDataSample]): Their samples.
        model (BaseModel): A ``MeanTeacher``.
        metainfo (dict): Classes and palette.
        out (Path): The PNG to write.
    """
    pseudo = model.pseudo_label(images, samples)
    views = model.make_views(images, samples)
    palette, threshold = metainfo['palette'], model.strong_threshold
    pixels = denormalize(images, model.data_preprocessor)
    mixed = denormalize(views.images, model.data_preprocessor)
    rows = [[
        Panel(pixels[i], stem(sample)),
        label_panel(pseudo.labels[i], palette),
        confidence_panel(
            pseudo.confidence[i],
            sure_share(pseudo.confidence[i], pseudo.labels[i], threshold)),
        Panel(mixed[i]),
        label_panel(views.labels[i], palette),
        confidence_panel(
            views.confidence[i],
            sure_share(views.confidence[i], views.labels[i], threshold)),
    ] for i, sample in enumerate(samples)]
    titles = [
        'unlabelled image', "teacher's labels", "teacher's confidence",
        'mixed, for the student', 'labels', 'confidence'
    ]
    legend = class_swatches([pseudo.labels, views.labels],
                            metainfo['classes'], palette)
    save_panels(rows, titles, out, legend, scale='confidence ')


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    apply_cfg_options(cfg, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    MMLogger.get_instance('browse_dataset', log_level='WARNING')
    set_random_seed(args.seed)

    try:
        batch, metainfo = load_batch(cfg, args.num, args.seed)
        model = build_model(cfg, args.checkpoint)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'browse_dataset.py: {error}')
    batch = model.data_preprocessor(batch, training=True)
    inputs, samples = batch['inputs'], batch['data_samples']
    out_dir = args.out_dir or Path('work_dirs/browse', Path(args.config).stem)
    if isinstance(inputs, Tensor):  # a supervised config
        if 'gt_sem_seg' not in samples[0]:
            sys.exit(f'browse_dataset.py: {args.config} trains on images '
                     'without labels alone; there is nothing to compare')
        inputs, samples = dict(labeled=inputs), dict(labeled=samples)
    for branch, show in (('labeled', show_labeled),
                         ('unlabeled', show_unlabeled)):
        if branch in inputs:
            out = out_dir / f'{branch}.png'
            show(inputs[branch], samples[branch], model, metainfo, out)
            print(out)


if __name__ == '__main__':
    main()
