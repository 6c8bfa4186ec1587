"""Label maps painted over their images, with a legend below."""
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmseg_ssl.visualization.panels import Swatch

# pixels
FONT_SIZE = 13
LINE = 20
BOX = 12
MARGIN = 4
# With more classes than this, only those in the picture are explained.
MAX_IN_LEGEND = 32


def paint(image: np.ndarray, labels: np.ndarray,
          palette: Sequence[Sequence[int]],
          opacity: float = 0.5) -> np.ndarray:
    """Lay the colours of a label map over an image.

    Args:
        image (np.ndarray): RGB, shape (H, W, 3), uint8.
        labels (np.ndarray): Classes, shape (H, W).
        palette (Sequence[Sequence[int]]): RGB in [0, 255] of each class.
        opacity (float): Share of the colours in the result, 0 to 1.
            Defaults to 0.5.

    Returns:
        np.ndarray: RGB, shape (H, W, 3), uint8.
    """
    colours = np.asarray(palette, np.float32)[labels]
    mixed = (1 - opacity) * image + opacity * colours
    return mixed.round().astype(np.uint8)


def legend_of(labels: np.ndarray, classes: Sequence[str],
              palette: Sequence[Sequence[int]]) -> list[Swatch]:
    """What to explain below a label map: all classes, unless too many."""
    shown: Sequence[int] = range(len(classes))
    if len(classes) > MAX_IN_LEGEND:
        shown = np.unique(labels).tolist()
    return [Swatch(palette[i], classes[i]) for i in shown]


def draw_legend(swatches: Sequence[Swatch], width: int) -> np.ndarray:
    """Draw coloured boxes with names, in as many rows as needed.

    Args:
        swatches (Sequence[Swatch]): At least one.
        width (int): Of the picture it goes below, in pixels; the widest name
            may need more.

    Returns:
        np.ndarray: RGB on white, shape (h, w, 3), uint8, w >= width.
    """
    font = _font()
    entry = max(int(np.ceil(font.getlength(swatch.text)))
                for swatch in swatches) + BOX + 3 * MARGIN
    columns = max(1, width // entry)
    rows = -(-len(swatches) // columns)
    canvas = Image.new('RGB', (max(width, entry), rows * LINE), 'white')
    draw = ImageDraw.Draw(canvas)
    for i, swatch in enumerate(swatches):
        row, column = divmod(i, columns)
        x, y = column * entry + MARGIN, row * LINE + LINE // 2
        draw.rectangle(
            (x, y - BOX // 2, x + BOX, y + BOX // 2), outline='grey',
            fill=tuple(swatch.colour))
        draw.text((x + BOX + MARGIN, y), swatch.text, fill='black', font=font,
                  anchor='lm')
    return np.asarray(canvas)


@cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans: Latin, Greek and Cyrillic letters; Pillow's has fewer."""
    path = Path(matplotlib.get_data_path(), 'fonts/ttf/DejaVuSans.ttf')
    return ImageFont.truetype(path, FONT_SIZE)


def with_legend(picture: np.ndarray, legend: np.ndarray) -> np.ndarray:
    """Put a legend below a picture, filling up with white."""
    width = max(picture.shape[1], legend.shape[1])
    return np.concatenate([
        np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)),
               constant_values=255) for part in (picture, legend)])
