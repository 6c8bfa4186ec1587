from mmseg_ssl.backbones.receptive_field import (
    ReceptiveField,
    receptive_fields,
)

__all__ = ['ReceptiveField', 'receptive_fields']
