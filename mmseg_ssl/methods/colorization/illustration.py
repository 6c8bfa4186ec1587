"""Pictures of what a network takes grey images for."""
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.dataset import pseudo_collate
from torch import Tensor

from mmseg_ssl.visualization.panels import Illustration, Panel

if TYPE_CHECKING:
    from mmseg_ssl.methods.colorization.colorization import Colorization

TITLES = ('image', 'what the network sees', 'its colours')


def illustrate_colours(model: 'Colorization',
                       dataset: Sequence[dict[str, Any]],
                       num: int) -> Illustration:
    """Show images, their grey versions, and the colours given to these.

    Args:
        model (Colorization): Ready to predict.
        dataset (Sequence[dict]): Samples with colour images.
        num (int): How many of them are shown, evenly spaced; the central
            square of each.

    Returns:
        Illustration: A row for each of them.
    """
    num = min(num, len(dataset))
    shown = np.linspace(0, len(dataset) - 1, num).round().astype(int)
    return Illustration([colour_row(model, dataset[i]) for i in shown], TITLES)


def colour_row(model: 'Colorization', sample: dict[str, Any]) -> list[Panel]:
    """The panels of one image."""
    batch = model.data_preprocessor(pseudo_collate([sample]))
    coloured, = model.predict(batch['inputs'], batch['data_samples'])
    truth, = model.colours(batch['inputs'])
    grey = truth.mean(dim=0, keepdim=True).expand_as(truth)
    return [
        square_panel(truth, Path(coloured.img_path).stem),
        square_panel(grey, ''),
        square_panel(coloured.colorized.data, ''),
    ]


def square_panel(image: Tensor, caption: str) -> Panel:
    """The central square of an image (3, H, W) in [0, 1]."""
    height, width = image.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[:, top:top + side, left:left + side]
    pixels = (255 * image).round().byte().permute(1, 2, 0)
    return Panel(pixels.cpu().numpy(), caption)
