"""Segmentation with few labels or none, as an MMSegmentation extension.

Importing the package registers every class in mmseg's own registries.
"""
# ruff: noqa: E402  (versions are checked before anything is imported)
from mmseg_ssl.compatibility import (
    allow_logged_values,
    check_requirements,
    distribution_of,
)

check_requirements()

from mmengine.config import utils as _config_utils

from mmseg_ssl import (  # noqa: F401  (imported for registration)
    apis,
    backbones,
    clustering,
    datasets,
    engine,
    evaluation,
    methods,
    visualization,
)

__version__ = '0.1.0'

# lets _base_ = 'mmseg_ssl::...' and inferencers find our configs
_config_utils.MODULE2PACKAGE['mmseg_ssl'] = 'mmseg_ssl'
# mmengine knows upstream's distributions only, and would install them over
# the onedl builds to read _base_ = 'mmseg::...'
for _module in ('mmseg', 'mmpretrain'):
    if _owner := distribution_of(_module):
        _config_utils.MODULE2PACKAGE[_module] = _owner

allow_logged_values()
