"""Rows of small pictures with a legend of classes, as one PNG."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmseg.models import SegDataPreProcessor
from torch import Tensor

from mmseg_ssl.conventions import IGNORE_INDEX

VOID_COLOUR = (255, 255, 255)
ABREAST = 3  # rows of a single column that stand side by side
# inches
PANEL_WIDTH = 2.4
GAP = 0.08
LINE = 0.25
LEGEND_ENTRY_WIDTH = 1.3
# points
LARGE = 10
SMALL = 8
DPI = 150
CONFIDENCE_MAP = 'viridis'


@dataclass
class Panel:
    """One picture of a row.

    Attributes:
        pixels (np.ndarray): Shape (H, W, 3), uint8, RGB.
        caption (str): A short line below it.
    """

    pixels: np.ndarray
    caption: str = ''


@dataclass
class Swatch:
    """One entry of a legend: a colour in [0, 255] and what it means."""

    colour: Sequence[int]
    text: str


@dataclass
class Illustration:
    """What a model makes of some images, as :func:`draw_panels` takes it."""

    rows: Sequence[Sequence[Panel]]
    titles: Sequence[str]
    scale: str = ''
    notes: Sequence[str] = ()  # lines of text below the picture


def colour(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Paint a label map (H, W) with a palette; void is white."""
    table = np.full((256, 3), VOID_COLOUR, dtype=np.uint8)
    table[:len(palette)] = palette
    return table[labels]


def denormalize(images: Tensor,
                preprocessor: SegDataPreProcessor) -> np.ndarray:
    """Undo a preprocessor's normalisation.

    Args:
        images (Tensor): What the network receives, shape (B, 3, H, W).
        preprocessor (SegDataPreProcessor): What made it from image files.

    Returns:
        np.ndarray: RGB images, shape (B, H, W, 3), uint8.
    """
    images = images.detach()
    if preprocessor._enable_normalize:
        images = images * preprocessor.std + preprocessor.mean
    # upstream mmseg has the name without the underscore
    converted = getattr(preprocessor, '_channel_conversion', None)
    if converted is None:
        converted = preprocessor.channel_conversion
    if not converted:  # files are read as BGR
        images = images.flip(1)
    pixels = images.clamp(0, 255).round().permute(0, 2, 3, 1)
    return pixels.byte().cpu().numpy()


def label_panel(labels: Tensor, palette: Sequence[Sequence[int]],
                caption: str = '') -> Panel:
    """Paint a label map (H, W); void is white."""
    return Panel(colour(labels.cpu().numpy().astype(np.uint8), palette),
                 caption)


def confidence_panel(confidence: Tensor, caption: str = '') -> Panel:
    """Paint a map (H, W) with values in [0, 1]."""
    painted = colormaps[CONFIDENCE_MAP](confidence.float().cpu().numpy())
    return Panel((255 * painted[..., :3]).round().astype(np.uint8), caption)


def class_swatches(label_maps: Sequence[Tensor], classes: Sequence[str],
                   palette: Sequence[Sequence[int]]) -> list[Swatch]:
    """Legend of the classes that appear in some label maps."""
    present = set()
    for labels in label_maps:
        present.update(labels.unique().tolist())
    swatches = [
        Swatch(palette[i], name) for i, name in enumerate(classes)
        if i in present
    ]
    if IGNORE_INDEX in present:
        swatches.append(Swatch(VOID_COLOUR, 'void'))
    return swatches


def save_panels(rows: Sequence[Sequence[Panel]],
                titles: Sequence[str],
                out: Path,
                legend: Sequence[Swatch] = (),
                scale: str = '') -> None:
    """Write what :func:`draw_panels` draws as a PNG.

    Args:
        rows (Sequence[Sequence[Panel]]): See :func:`draw_panels`.
        titles (Sequence[str]): Titles of the columns.
        out (Path): File to write; its folder is made.
        legend (Sequence[Swatch]): Colours explained below the panels.
        scale (str): What the colours of :func:`confidence_panel` mean.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_panels(rows, titles, legend, scale).savefig(out, dpi=DPI)


def draw_panels(rows: Sequence[Sequence[Panel]],
                titles: Sequence[str],
                legend: Sequence[Swatch] = (),
                scale: str = '') -> Figure:
    """Lay out rows of panels under column titles.

    Args:
        rows (Sequence[Sequence[Panel]]): At most as many panels a row as
            titles. The first panel gives the shape of all places; others
            are fitted in. Of a single column, rows stand side by side.
        titles (Sequence[str]): Titles of the columns.
        legend (Sequence[Swatch]): Colours explained below the panels.
        scale (str): What the colours of :func:`confidence_panel` mean; empty
            where no panel has them.
    """
    if len(titles) == 1:
        panels = [panel for row in rows for panel in row]
        rows = [panels[i:i + ABREAST] for i in range(0, len(panels), ABREAST)]
        titles = [*titles, *[''] * (len(rows[0]) - 1)]
    pixels = rows[0][0].pixels
    panel_height = PANEL_WIDTH * pixels.shape[0] / pixels.shape[1]
    width = len(titles) * (PANEL_WIDTH + GAP) + GAP
    legend_columns = max(1, int(width // LEGEND_ENTRY_WIDTH))
    legend_height = LINE * -(-len(legend) // legend_columns)
    scale_height = 2 * LINE if scale else 0
    height = (LINE + len(rows) * (panel_height + LINE) + legend_height +
              scale_height + GAP)
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)

    def add_axes(left: float, top: float, wide: float, high: float) -> Axes:
        """Axes at a place in inches from the upper left corner."""
        return figure.add_axes((left / width, 1 - (top + high) / height,
                                wide / width, high / height))

    top = LINE
    for row in rows:
        for j, panel in enumerate(row):
            left = GAP + j * (PANEL_WIDTH + GAP)
            axes = add_axes(left, top, PANEL_WIDTH, panel_height)
            _draw(axes, panel, titles[j] if row is rows[0] else '')
        top += panel_height + LINE
    if legend:
        axes = add_axes(0, top, width, legend_height)
        _draw_legend(axes, legend, legend_columns)
        top += legend_height
    if scale:
        wide = min(width - 2 * PANEL_WIDTH, 2 * PANEL_WIDTH)
        axes = add_axes((width - wide) / 2, top + LINE / 4, wide, LINE / 2)
        figure.colorbar(
            ScalarMappable(cmap=CONFIDENCE_MAP), cax=axes,
            orientation='horizontal')
        axes.tick_params(labelsize=SMALL)
        axes.set_ylabel(scale, fontsize=SMALL, rotation=0, ha='right',
                        va='center')
    return figure


def _draw(axes: Axes, panel: Panel, title: str) -> None:
    # Label maps and small images alike should show their own pixels.
    axes.imshow(panel.pixels, interpolation='nearest', aspect='equal')
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=LARGE, pad=3)
    axes.set_xlabel(panel.caption, fontsize=SMALL, labelpad=2)


def _draw_legend(axes: Axes, legend: Sequence[Swatch], columns: int) -> None:
    axes.axis('off')
    handles = [
        Patch(facecolor='#{:02x}{:02x}{:02x}'.format(*swatch.colour),
              edgecolor='grey', label=swatch.text) for swatch in legend
    ]
    axes.legend(handles=handles, ncols=min(columns, len(handles)),
                loc='center', frameon=False, fontsize=SMALL)
