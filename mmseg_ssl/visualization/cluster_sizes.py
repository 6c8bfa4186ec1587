"""How many pixels each cluster has."""
from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

# inches, points, dots per inch
WIDTH = 6
HEIGHT = 2
SMALL = 8
DPI = 100


def draw_cluster_sizes(sizes: Mapping[str, Tensor]) -> np.ndarray:
    """Draw one histogram below the other, largest cluster first.

    Args:
        sizes (Mapping[str, Tensor]): Points of each cluster, shape (K,), by
            the name of the clustering.

    Returns:
        np.ndarray: RGB image, shape (H, W, 3), uint8.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT * len(sizes)), layout='tight')
    canvas = FigureCanvasAgg(figure)
    axes_list = figure.subplots(len(sizes), squeeze=False)[:, 0]
    for axes, (name, counts) in zip(axes_list, sizes.items()):
        counts = counts.double().cpu()
        order = counts.argsort(descending=True)
        share = (100 * counts / counts.sum().clamp(min=1))[order]
        axes.bar(range(len(share)), share.numpy())
        axes.axhline(100 / len(share), color='grey', linewidth=0.8)
        axes.set_title(f'{name}: {int((counts == 0).sum())} of {len(counts)} '
                       'clusters are empty', fontsize=SMALL)
        axes.set_ylabel('pixels in %', fontsize=SMALL)
        axes.tick_params(labelsize=SMALL)
        axes.set_xlim(-0.6, len(share) - 0.4)
        if len(share) <= 50:
            axes.set_xticks(range(len(share)), map(str, order.tolist()),
                            fontsize=SMALL * 0.75)
    axes_list[-1].set_xlabel('cluster', fontsize=SMALL)
    figure.set_dpi(DPI)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
