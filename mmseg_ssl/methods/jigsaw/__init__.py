from mmseg_ssl.methods.jigsaw.base import JigsawModel
from mmseg_ssl.methods.jigsaw.guards import drop_colour, normalize_tiles
from mmseg_ssl.methods.jigsaw.jigsaw_fcn import JigsawFCN, PatchPositionHead
from mmseg_ssl.methods.jigsaw.jigsaw_permutation import (
    JigsawPermutation,
    PermutationHead,
)
from mmseg_ssl.methods.jigsaw.permutations import permutation_set
from mmseg_ssl.methods.jigsaw.puzzle import (
    patch_size,
    place_patches,
    pool_patches,
    random_positions,
    random_shifts,
    restore_patches,
    shuffle_patches,
)
from mmseg_ssl.methods.jigsaw.transfer import TransferEncoderDecoder

__all__ = [
    'JigsawFCN', 'JigsawModel', 'JigsawPermutation', 'PatchPositionHead',
    'PermutationHead', 'TransferEncoderDecoder', 'drop_colour',
    'normalize_tiles', 'patch_size', 'permutation_set', 'place_patches',
    'pool_patches', 'random_positions', 'random_shifts', 'restore_patches',
    'shuffle_patches'
]
