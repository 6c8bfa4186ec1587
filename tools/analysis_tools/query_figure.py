"""Show where ReCo's hard and easy queries lie, as Fig. 2 of its paper.

``python tools/analysis_tools/query_figure.py CONFIG CHECKPOINT --out PNG``

For images of the validation set: image, truth, the probability that the
student gives to the true class, and which pixels that makes hard queries
(below the threshold) and easy ones (Eq. 4). Any segmentor will do.
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmseg.models.utils import resize
from mmseg.registry import DATASETS, MODELS
from torch import Tensor

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.engine.environment import (
    CfgOptionsAction,
    apply_cfg_options,
)
from mmseg_ssl.engine.hooks.preflight_hook import check_checkpoint
from mmseg_ssl.visualization.panels import (
    Panel,
    Swatch,
    class_swatches,
    confidence_panel,
    denormalize,
    label_panel,
    save_panels,
)

# Okabe and Ito's vermilion and blue, told apart by colour-blind readers, too.
HARD_COLOUR = (213, 94, 0)
EASY_COLOUR = (0, 114, 178)
OPACITY = 0.65


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Show where ReCo's hard and easy queries lie")
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='path of the checkpoint')
    parser.add_argument(
        '--out', type=Path, required=True, help='the PNG to write')
    parser.add_argument(
        '--num', type=int, default=3,
        help='images, evenly spaced over the validation set (3)')
    parser.add_argument(
        '--strong-threshold', type=float, default=0.97,
        help='queries are hard below this probability (0.97)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override config entries, e.g. data_root=DIR')
    return parser.parse_args()


def load_model(cfg: Config, checkpoint: str) -> BaseModel:
    """The model with the weights of a checkpoint, ready to predict."""
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    check_checkpoint(model, checkpoint, 'predict')
    load_checkpoint(model, checkpoint, map_location='cpu')
    return model.to(get_device()).eval()


@torch.no_grad()
def true_class_probability(model: BaseModel, images: Tensor,
                           labels: Tensor) -> Tensor:
    """Probability of each pixel's own class, 0 where void.

    Args:
        model (BaseModel): A segmentor; of a ``MeanTeacher``, the student is
            asked, as in training.
        images (Tensor): Normalised, shape (1, 3, H, W).
        labels (Tensor): Truth, shape (H', W').

    Returns:
        Tensor: Shape (H', W').
    """
    student = getattr(model, 'student', model)
    logits = student.encode_decode(images,
                                   [dict(img_shape=images.shape[2:])])
    prob = resize(logits, size=labels.shape, mode='bilinear').softmax(dim=1)
    own = labels.clamp(max=prob.size(1) - 1)[None, None]
    return prob.gather(1, own)[0, 0] * (labels != IGNORE_INDEX)


def mark_queries(image: np.ndarray, probability: Tensor, labels: Tensor,
                 threshold: float) -> Panel:
    """Lay the colours of hard and easy queries over an image (H, W, 3)."""
    valid = (labels != IGNORE_INDEX).cpu().numpy()
    hard = valid & (probability < threshold).cpu().numpy()
    marked = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    for where, colour in ((hard, HARD_COLOUR), (valid & ~hard, EASY_COLOUR)):
        marked[where] += OPACITY * (np.array(colour) - marked[where])
    share = hard.sum() / max(1, valid.sum())
    return Panel(marked.round().astype(np.uint8), f'{share:.0%} hard')


def figure_row(model: BaseModel, sample: dict, palette: list,
               threshold: float) -> tuple[list[Panel], Tensor]:
    """The panels of one image, and its labels."""
    batch = model.data_preprocessor(pseudo_collate([sample]))
    data_sample = batch['data_samples'][0]
    labels = data_sample.gt_sem_seg.data.squeeze(0).long()
    image, = denormalize(batch['inputs'], model.data_preprocessor)
    height, width = labels.shape
    image = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    image = resize(image, size=(height, width), mode='bilinear')
    image = image[0].permute(1, 2, 0).numpy()
    probability = true_class_probability(model, batch['inputs'], labels)
    return [
        Panel(image.round().astype(np.uint8), Path(data_sample.img_path).stem),
        label_panel(labels, palette),
        confidence_panel(probability),
        mark_queries(image, probability, labels, threshold),
    ], labels


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    apply_cfg_options(cfg, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    MMLogger.get_instance('query_figure', log_level='WARNING')
    try:
        model = load_model(cfg, args.checkpoint)
        dataset = DATASETS.build(cfg.val_dataloader.dataset)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'query_figure.py: {error}')

    palette = dataset.metainfo['palette']
    num = min(args.num, len(dataset))
    picked = np.linspace(0, len(dataset) - 1, num).round().astype(int)
    rows, label_maps = zip(*(figure_row(model, dataset[i], palette,
                                        args.strong_threshold)
                             for i in picked), strict=True)
    legend = class_swatches(label_maps, dataset.metainfo['classes'], palette)
    legend += [
        Swatch(HARD_COLOUR, f'hard, below {args.strong_threshold}'),
        Swatch(EASY_COLOUR, 'easy'),
    ]
    save_panels(
        rows, ['image', 'truth', 'probability of the true class', 'queries'],
        args.out, legend, scale='probability ')
    print(args.out)


if __name__ == '__main__':
    main()
