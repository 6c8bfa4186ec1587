"""Pictures of puzzles and of what a model makes of them."""
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor

from mmseg_ssl.methods.jigsaw.puzzle import place_patches, restore_patches
from mmseg_ssl.visualization.panels import (
    Illustration,
    Panel,
    confidence_panel,
    denormalize,
)

if TYPE_CHECKING:
    from mmseg_ssl.methods.jigsaw.base import JigsawModel

TITLES = ('image', 'puzzle', 'put back', 'probability of the true place')


def illustrate_puzzles(model: 'JigsawModel', dataset: Sequence[dict[str, Any]],
                       num: int) -> Illustration:
    """Show puzzles, solutions, and the accuracy by position.

    Args:
        model (JigsawModel): Ready to predict.
        dataset (Sequence[dict]): Samples as of the validation pipeline. All
            of them are solved.
        num (int): How many of them are shown, evenly spaced.

    Returns:
        Illustration: A row for each image shown: the image, its puzzle, the
        patches put back where the model wants them, and the probability of
        the true place of each. The last row and the notes have the accuracy
        by position over all images, which is the metric's: the share of
        patches whose likeliest place is the true one.
    """
    num = min(num, len(dataset))
    shown = set(np.linspace(0, len(dataset) - 1, num).round().astype(int))
    rows, right = [], []
    for i in range(len(dataset)):
        panels, named = solve(model, dataset[i])
        right.append(named)
        if i in shown:
            rows.append(panels)
    accuracy = torch.stack(right).mean(dim=0).cpu()
    height, width = rows[0][0].pixels.shape[:2]
    rows.append([confidence_panel(
        by_cell(accuracy, model.grid, (height, width)),
        f'accuracy, {len(right)} image(s)')])
    notes = ['accuracy in percent, by position:'] + [
        '  ' + ' '.join(f'{100 * value:5.1f}' for value in cells)
        for cells in accuracy.view(model.grid, model.grid).tolist()
    ]
    return Illustration(rows, TITLES, 'probability, share ', notes)


@torch.no_grad()
def solve(model: 'JigsawModel',
          sample: dict[str, Any]) -> tuple[list[Panel], Tensor]:
    """Solve the fixed puzzle of one image.

    Returns:
        tuple[list[Panel], Tensor]: The panels of its row, and for each cell
        whether the patch from there was named rightly, shape (N, ), as 0 and
        1.
    """
    batch = model.data_preprocessor(pseudo_collate([sample]))
    images, data_sample = batch['inputs'], batch['data_samples'][0]
    _, position = model.fixed_puzzles([data_sample], images.device)
    logits = model.solve(model.make_puzzles(images, position))[0]
    arranged = model.arrange(logits, position[0])
    # as the network sees it but for the colours of normalised tiles
    puzzle = place_patches(images, position, model.grid, model.gap)
    restored = restore_patches(puzzle, arranged.cells[None], model.grid)
    in_place = int((arranged.cells == position[0]).sum())
    pictures = [denormalize(x, model.data_preprocessor)[0]
                for x in (images, puzzle, restored)]
    panels = [
        Panel(pictures[0], Path(data_sample.img_path).stem),
        Panel(pictures[1]),
        Panel(pictures[2], f'{in_place} of {len(position[0])} in place'),
        confidence_panel(
            by_cell(arranged.true_prob, model.grid, puzzle.shape[2:]),
            'patches as in the puzzle'),
    ]
    return panels, arranged.right.float()[position[0].argsort()]


def by_cell(values: Tensor, grid: int, size: Sequence[int]) -> Tensor:
    """Paint one value per cell, (N, ), as a map of about (H, W)."""
    height, width = size[0] // grid, size[1] // grid
    cells = values.float().view(grid, grid)
    return cells.repeat_interleave(height, 0).repeat_interleave(width, 1)
