"""Segmentation with few labels or none, as an MMSegmentation extension.

Importing the package registers every class in mmseg's own registries.
"""
from mmseg_ssl import (  # noqa: F401  (imported for registration)
    datasets,
    engine,
    evaluation,
    methods,
    visualization,
)

__version__ = '0.1.0'
