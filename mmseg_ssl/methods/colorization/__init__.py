from mmseg_ssl.methods.colorization.color_histogram_loss import (
    ColorHistogramLoss,
    ColourTargets,
    colour_targets,
)
from mmseg_ssl.methods.colorization.colorization import (
    Colorization,
    ColorizationHead,
)
from mmseg_ssl.methods.colorization.colour import colour_of, hue_and_chroma

__all__ = [
    'ColorHistogramLoss', 'Colorization', 'ColorizationHead', 'ColourTargets',
    'colour_of', 'colour_targets', 'hue_and_chroma'
]
