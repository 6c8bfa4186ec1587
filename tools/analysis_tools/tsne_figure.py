"""Show features of patches by t-SNE, coloured by class.

``python tools/analysis_tools/tsne_figure.py CONFIG --features before=CKPT
--features after=CKPT --out PNG`` with the config of a ``MixAndMatch``: one
panel for each checkpoint (of any stage with the same backbone; ``random``
stands for random weights), of the patches of its validation set, as Fig. 1b
of the paper. What :class:`mmseg_ssl.evaluation.PatchRetrieval` says of them is
printed. Needs scikit-learn.
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmseg.registry import DATASETS, MODELS
from torch import Tensor

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine.environment import (
    CfgOptionsAction,
    apply_cfg_options,
)
from mmseg_ssl.engine.hooks.preflight_hook import check_checkpoint
from mmseg_ssl.evaluation import PatchRetrieval
from mmseg_ssl.methods.mix_and_match import MixAndMatch


def named_checkpoint(text: str) -> tuple[str, str]:
    """Split NAME=CHECKPOINT."""
    name, separator, path = text.partition('=')
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(
            f'{text!r} is not of the form NAME=CHECKPOINT')
    return name, path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Show features of patches by t-SNE')
    parser.add_argument('config', help='config of a MixAndMatch')
    parser.add_argument(
        '--features', action='append', required=True, type=named_checkpoint,
        metavar='NAME=CHECKPOINT', help='a panel; may be repeated')
    parser.add_argument(
        '--out', type=Path, required=True, help='the PNG to write')
    parser.add_argument(
        '--perplexity', type=float, default=30,
        help='about how many neighbours count; at most a third of the patches '
        '(30)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override config entries, e.g. data_root=DIR')
    return parser.parse_args()


def load_model(cfg: Config, checkpoint: str, seed: int) -> MixAndMatch:
    """The network with the backbone of a checkpoint, ready to predict."""
    torch.manual_seed(seed)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if not isinstance(model, MixAndMatch):
        raise ValueError(f'{cfg.filename} is the config of a '
                         f'{type(model).__name__}, not of a MixAndMatch')
    model.init_weights()
    if checkpoint != 'random':
        check_checkpoint(model, checkpoint, 'initialize')
        load_checkpoint(model, checkpoint, map_location='cpu')
    return model.to(get_device()).eval()


def patch_features(
        model: MixAndMatch,
        dataset: torch.utils.data.Dataset) -> list[tuple[Tensor, Tensor]]:
    """Features (n, D) and classes (n,) of the patches of each image."""
    samples = [model.val_step(pseudo_collate([dataset[i]]))[0]
               for i in range(len(dataset))]
    return [(sample.patch_features.cpu(), sample.patch_labels.cpu())
            for sample in samples]


def embed(features: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """Coordinates (N, 2) of features (N, D)."""
    from sklearn.manifold import TSNE

    return TSNE(perplexity=min(perplexity, len(features) / 3), init='pca',
                random_state=seed).fit_transform(features)


def draw(panels: list[tuple[str, np.ndarray, np.ndarray]], metainfo: dict,
         out: Path) -> None:
    """Write one scatter plot for each (title, coordinates, classes)."""
    figure = Figure(figsize=(4 * len(panels) + 1.5, 4.2))
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, points, labels) in zip(all_axes, panels):
        for index in np.unique(labels):
            where = labels == index
            axes.scatter(*points[where].T, s=8, label=metainfo['classes'][
                index], color=np.array(metainfo['palette'][index]) / 255)
        axes.set(title=title, xticks=[], yticks=[])
    handles, names = all_axes[-1].get_legend_handles_labels()
    figure.legend(handles, names, loc='center right', fontsize=7)
    figure.subplots_adjust(left=0.02, right=1 - 1.4 / figure.get_figwidth())
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    apply_cfg_options(cfg, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    MMLogger.get_instance('tsne_figure', log_level='WARNING')
    panels = []
    try:
        dataset = DATASETS.build(cfg.val_dataloader.dataset)
        for name, checkpoint in args.features:
            patches = patch_features(
                load_model(cfg, checkpoint, args.seed), dataset)
            scores = PatchRetrieval().compute_metrics(patches)
            print(f'{name}:', ', '.join(
                f'{key} {value:.1f}' for key, value in scores.items()))
            features, labels = (torch.cat(parts).numpy()
                                for parts in zip(*patches))
            panels.append((name, embed(features, args.perplexity, args.seed),
                           labels))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'tsne_figure.py: {error}')
    draw(panels, dataset.metainfo, args.out)
    print(args.out)


if __name__ == '__main__':
    main()
