from mmseg_ssl.methods.mix_and_match.graph import (
    class_connected_triplets,
    random_triplets,
)
from mmseg_ssl.methods.mix_and_match.mix_and_match import MixAndMatch
from mmseg_ssl.methods.mix_and_match.patches import sample_patches
from mmseg_ssl.methods.mix_and_match.triplet_loss import PatchTripletLoss

__all__ = [
    'MixAndMatch', 'PatchTripletLoss', 'class_connected_triplets',
    'random_triplets', 'sample_patches'
]
