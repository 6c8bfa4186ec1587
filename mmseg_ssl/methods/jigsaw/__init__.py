from mmseg_ssl.methods.jigsaw.puzzle import (
    patch_size,
    pool_patches,
    restore_patches,
    shuffle_patches,
)

__all__ = ['patch_size', 'pool_patches', 'restore_patches', 'shuffle_patches']
