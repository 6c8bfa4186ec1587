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
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmseg.registry import DATASETS, MODELS
from scipy.optimize import linear_sum_assignment
from torch import Tensor

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine.environment import CfgOptionsAction, apply_cfg_options
from mmseg_ssl.engine.hooks.preflight_hook import check_checkpoint
from mmseg_ssl.methods.jigsaw import (
    JigsawModel,
    JigsawPermutation,
    place_patches,
    restore_patches,
)
from mmseg_ssl.visualization.panels import (
    Panel,
    confidence_panel,
    denormalize,
    save_panels,
)

TITLES = ['image', 'puzzle', 'put back', 'probability of the true place']


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


def load_samples(cfg: Config, images: list[str] | None) -> list[dict]:
    """The images after the validation pipeline."""
    dataset_cfg = cfg.val_dataloader.dataset
    if images is None:
        dataset = DATASETS.build(dataset_cfg)
        return [dataset[i] for i in range(len(dataset))]
    missing = [path for path in images if not Path(path).is_file()]
    if missing:
        raise FileNotFoundError(f'no such image: {", ".join(missing)}')
    pipeline = Compose(dataset_cfg.pipeline)
    return [
        pipeline(dict(img_path=path, seg_fields=[], reduce_zero_label=False,
                      label_map=None)) for path in images
    ]


def arrange(model: JigsawModel, logits: Tensor,
            position: Tensor) -> tuple[Tensor, Tensor]:
    """Where a model puts the patches of a puzzle.

    A patch-wise classifier may want one place for two patches; here every
    patch gets its own, so that their log-probabilities sum up highest.

    Args:
        model (JigsawModel): Made the logits.
        logits (Tensor): Shape (N, N), or (P, ) of a permutation.
        position (Tensor): True cells, shape (N, ).

    Returns:
        tuple[Tensor, Tensor]: Cell of each patch, a permutation, and the
        probability of its true cell, both of shape (N, ).
    """
    prob = logits.float().softmax(dim=-1)
    if isinstance(model, JigsawPermutation):
        # of all members of the set that put a patch where it belongs
        agree = model.permutations == position
        return model.permutations[prob.argmax()], prob @ agree.float()
    cost = -logits.float().log_softmax(dim=1).cpu().numpy()
    _, cells = linear_sum_assignment(cost)
    true = prob.gather(1, position[:, None])[:, 0]
    return torch.as_tensor(cells, device=position.device), true


def by_cell(values: Tensor, grid: int, size: tuple[int, int]) -> Tensor:
    """Paint one value per patch, (N, ), as a map (H, W)."""
    height, width = size[0] // grid, size[1] // grid
    cells = values.float().view(grid, grid)
    return cells.repeat_interleave(height, 0).repeat_interleave(width, 1)


@torch.no_grad()
def solve(model: JigsawModel,
          sample: dict) -> tuple[list[Panel], Tensor]:
    """The panels of one image, and which cells were recognised, (N, )."""
    batch = model.data_preprocessor(pseudo_collate([sample]))
    images, data_sample = batch['inputs'], batch['data_samples'][0]
    _, position = model.fixed_puzzles([data_sample], images.device)
    logits = model.solve(model.make_puzzles(images, position))[0]
    predicted, true_prob = arrange(model, logits, position[0])
    # as the network sees it but for the colours of normalised tiles
    puzzle = place_patches(images, position, model.grid, model.gap)
    restored = restore_patches(puzzle, predicted[None], model.grid)
    right = predicted == position[0]
    pictures = [denormalize(x, model.data_preprocessor)[0]
                for x in (images, puzzle, restored)]
    panels = [
        Panel(pictures[0], Path(data_sample.img_path).stem),
        Panel(pictures[1]),
        Panel(pictures[2], f'{int(right.sum())} of {len(right)} in place'),
        confidence_panel(by_cell(true_prob, model.grid, puzzle.shape[2:]),
                         'patches as in the puzzle'),
    ]
    return panels, right.float()[position[0].argsort()]


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    apply_cfg_options(cfg, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    MMLogger.get_instance('jigsaw_figure', log_level='WARNING')
    try:
        model = load_model(cfg, args.checkpoint)
        samples = load_samples(cfg, args.images)
        solved = [solve(model, sample) for sample in samples]
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'jigsaw_figure.py: {error}')

    num = min(args.num, len(solved))
    picked = np.linspace(0, len(solved) - 1, num).round().astype(int)
    rows = [solved[i][0] for i in picked]
    accuracy = torch.stack([right for _, right in solved]).mean(dim=0)
    size = rows[0][0].pixels.shape[:2]
    rows.append([confidence_panel(
        by_cell(accuracy, model.grid, size),
        f'share in place, {len(solved)} image(s)')])
    save_panels(rows, TITLES, args.out, scale='probability, share ')
    cells = accuracy.view(model.grid, model.grid).cpu() * 100
    print('in place, percent, by position:')
    for row in cells.tolist():
        print('  ' + ' '.join(f'{value:5.1f}' for value in row))
    print(args.out)


if __name__ == '__main__':
    main()
