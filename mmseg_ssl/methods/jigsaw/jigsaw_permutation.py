"""Jigsaw puzzles as classification of their permutation."""
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import ConfigType, OptConfigType
from torch import Tensor, nn

from mmseg_ssl.methods.jigsaw.base import Arrangement, JigsawModel
from mmseg_ssl.methods.jigsaw.permutations import permutation_set
from mmseg_ssl.sampling import random_integers


@MODELS.register_module()
class PermutationHead(BaseModule):
    """Tell the permutation from the maps of all tiles.

    fc6 is shared by the tiles; fc7 sees all of them in the order in which
    they lie (Fig. 3 of `Unsupervised Learning of Visual Representations by
    Solving Jigsaw Puzzles <https://arxiv.org/abs/1603.09246>`_).

    Args:
        in_channels (int): Channels of a tile's map, C.
        num_permutations (int): Classes, P.
        num_tiles (int): Tiles of a puzzle, N. Defaults to 9.
        map_size (int): Side to which a tile's map is averaged; a map of this
            size stays as it is. Defaults to 3.
        tile_channels (int): Width of fc6. Defaults to 1024.
        hidden_channels (int): Width of fc7. Defaults to 4096.
        dropout_ratio (float): Behind fc6 and fc7. Defaults to 0.5.
        init_cfg (dict, optional): Defaults to Xavier's.
    """

    def __init__(self,
                 in_channels: int,
                 num_permutations: int,
                 num_tiles: int = 9,
                 map_size: int = 3,
                 tile_channels: int = 1024,
                 hidden_channels: int = 4096,
                 dropout_ratio: float = 0.5,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg or dict(type='Xavier', layer='Linear'))
        self.num_tiles = num_tiles
        self.pool = nn.AdaptiveAvgPool2d(map_size)
        self.fc6 = nn.Linear(in_channels * map_size**2, tile_channels)
        self.fc7 = nn.Linear(num_tiles * tile_channels, hidden_channels)
        self.fc8 = nn.Linear(hidden_channels, num_permutations)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout_ratio)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (B, P) of maps (B * N, C, h, w), the tiles of B puzzles."""
        tiles = self.fc6(self.pool(maps).flatten(1))
        tiles = self.dropout(self.relu(tiles))
        puzzles = tiles.view(-1, self.num_tiles * tiles.size(1))
        return self.fc8(self.dropout(self.relu(self.fc7(puzzles))))


@MODELS.register_module()
class JigsawPermutation(JigsawModel):
    """Tell which permutation, of a fixed set, shuffled the tiles of an image.

    Implementation of `Unsupervised Learning of Visual Representations by
    Solving Jigsaw Puzzles <https://arxiv.org/abs/1603.09246>`_: the tiles,
    cut with gaps and each normalised on its own, pass one trunk one by one
    (its context-free network), and a head on all their features classifies
    the permutation. All tiles move, the central one, too.

    Args:
        backbone (dict): The trunk; see :class:`JigsawModel`.
        head (dict): Config of the head, without ``num_permutations`` and
            ``num_tiles``.
        num_permutations (int): Size of the set. Defaults to 1000.
        permutation_seed (int): Of the set, see
            :func:`~mmseg_ssl.methods.jigsaw.permutations.permutation_set`.
            The set itself is part of a checkpoint. Defaults to 0.
        gap (int): In pixels; the paper cuts tiles of 64 from cells of 85.
            Defaults to 11.
        tile_norm (bool): Defaults to True.
        **kwargs: Of :class:`JigsawModel`.

    Raises:
        ValueError: As of :class:`JigsawModel`, and if there are not as many
            permutations.
    """

    def __init__(self,
                 backbone: ConfigType,
                 head: ConfigType,
                 num_permutations: int = 1000,
                 permutation_seed: int = 0,
                 gap: int = 11,
                 tile_norm: bool = True,
                 **kwargs: Any) -> None:
        super().__init__(backbone, gap=gap, tile_norm=tile_norm, **kwargs)
        num_tiles = self.grid**2
        permutations = permutation_set(
            num_permutations, num_tiles, permutation_seed)
        self.permutations: Tensor
        self.register_buffer('permutations', torch.from_numpy(permutations))
        self.head = MODELS.build({
            **head, 'num_permutations': num_permutations,
            'num_tiles': num_tiles})

    def draw(self, batch_size: int, device: torch.device | str,
             generator: torch.Generator | None = None
             ) -> tuple[Tensor, Tensor]:
        """Random members of the set, shape (B,), and the permutations."""
        high = torch.full(
            (batch_size, ), len(self.permutations), device=device)
        member = random_integers(high, generator)
        return member, self.permutations.to(device)[member]

    def solve(self, puzzles: Tensor) -> Tensor:
        """Logits over the set, shape (B, P), of puzzles (B, 3, H, W)."""
        num, channels, height, width = puzzles.shape
        tiles = puzzles.view(num, channels, self.grid, height // self.grid,
                             self.grid, width // self.grid)
        tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        return self.head(self.last_map(tiles))

    def store(self, sample: SegDataSample, target: Tensor,
              prediction: Tensor) -> None:
        """Write ``permutation`` and ``pred_permutation``, class numbers."""
        sample.permutation = target
        sample.pred_permutation = prediction

    def arrange(self, logits: Tensor, position: Tensor) -> Arrangement:
        """Where the likeliest permutation puts the patches of one puzzle.

        A cell is as likely as all members of the set together that have it.

        Args:
            logits (Tensor): Shape (P, ).
            position (Tensor): True cells, shape (N, ).
        """
        prob = logits.float().softmax(dim=0)
        agree = self.permutations == position
        best = prob.argmax()
        return Arrangement(
            self.permutations[best], agree[best], prob @ agree.float())

    def accuracy(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Share of puzzles that are told from all others of the set."""
        return (prediction == target).float().mean()
