"""What both jigsaw tasks share: puzzles in, cross entropy out."""
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import ConfigType, OptConfigType, OptSampleList, SampleList
from torch import Tensor

from mmseg_ssl.datasets.padding import refuse_padding
from mmseg_ssl.methods.jigsaw.guards import drop_colour, normalize_tiles
from mmseg_ssl.methods.jigsaw.illustration import illustrate_puzzles
from mmseg_ssl.methods.jigsaw.puzzle import place_patches, random_shifts
from mmseg_ssl.visualization.panels import Illustration


class Arrangement(NamedTuple):
    """What a model makes of the N patches of one puzzle, each of shape (N, ).

    Attributes:
        cells (Tensor): Where it puts them, a permutation.
        right (Tensor): Whether it names the true cell, bool; the metric
            counts these.
        true_prob (Tensor): Probability of the true cell.
    """

    cells: Tensor
    right: Tensor
    true_prob: Tensor


class JigsawModel(BaseModel):
    """Make puzzles of a batch of images, and learn to solve them.

    .. code:: text

     loss():    draw() -> make_puzzles() -> solve() -> cross entropy
     predict(): the same with the fixed puzzle of each image

    A puzzle for training is random. A puzzle for prediction follows from the
    file name of its image alone, so that its accuracy does not depend on the
    order of images, the batch size or the number of processes.

    Args:
        backbone (dict): Config of any backbone of mmseg or mmpretrain; its
            last map is used.
        grid (int): Patches along each side, odd. Defaults to 3.
        gap (int): Pixels by which a tile is smaller than its cell, along each
            side. In training the tile lies at a random place in its cell,
            else in the middle. Defaults to 0: patches fill the image.
        tile_norm (bool): Whether each channel of each tile is normalised on
            its own. Defaults to False.
        grey_prob (float): Share of images that lose their colours in
            training. Defaults to 0.0.
        data_preprocessor (dict, optional): Defaults to
            ``dict(type='SegDataPreProcessor')``.
        init_cfg (dict, optional): Initialisation. Defaults to None.

    Raises:
        ValueError: If ``grey_prob`` is no probability; the grid and the gap
            are checked against the images.
    """

    def __init__(self,
                 backbone: ConfigType,
                 grid: int = 3,
                 gap: int = 0,
                 tile_norm: bool = False,
                 grey_prob: float = 0.0,
                 data_preprocessor: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(
            data_preprocessor or dict(type='SegDataPreProcessor'), init_cfg)
        if not 0 <= grey_prob <= 1:
            raise ValueError(
                f'grey_prob must be in [0, 1], but got {grey_prob}')
        if grid < 3 or grid % 2 == 0:
            raise ValueError(
                f'grid must be odd and at least 3, but got {grid}')
        self.backbone = MODELS.build(backbone)
        self.grid = grid
        self.gap = gap
        self.tile_norm = tile_norm
        self.grey_prob = grey_prob

    @abstractmethod
    def draw(self, batch_size: int, device: torch.device | str,
             generator: torch.Generator | None = None
             ) -> tuple[Tensor, Tensor]:
        """Draw random puzzles.

        Returns:
            tuple[Tensor, Tensor]: What is to be predicted, shape (B, ...),
            and the cell that each patch comes from, shape (B, grid * grid),
            both int64.
        """

    @abstractmethod
    def solve(self, puzzles: Tensor) -> Tensor:
        """Logits, shape (B, ..., classes), of puzzles (B, 3, H, W)."""

    @abstractmethod
    def store(self, sample: SegDataSample, target: Tensor,
              prediction: Tensor) -> None:
        """Write truth and prediction of one image into its sample."""

    @abstractmethod
    def accuracy(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Share of right answers in a batch, for the log."""

    @abstractmethod
    def arrange(self, logits: Tensor, position: Tensor) -> Arrangement:
        """Where the model puts the patches of one puzzle.

        Args:
            logits (Tensor): Of :meth:`solve`, shape (..., classes).
            position (Tensor): True cells, shape (N, ).
        """

    def make_puzzles(self, images: Tensor, position: Tensor,
                     shift: Tensor | None = None) -> Tensor:
        """Cut images into patches and put them where they are told to.

        Args:
            images (Tensor): Normalised, shape (B, 3, H, W).
            position (Tensor): Cell of each patch, shape (B, grid * grid).
            shift (Tensor, optional): From
                :func:`~mmseg_ssl.methods.jigsaw.puzzle.random_shifts`.
                Defaults to None, tiles in the middle of their cells.

        Returns:
            Tensor: Shape (B, 3, H', W').
        """
        puzzles = place_patches(images, position, self.grid, self.gap, shift)
        if self.tile_norm:
            puzzles = normalize_tiles(puzzles, self.grid)
        return puzzles

    def last_map(self, images: Tensor) -> Tensor:
        """The backbone's last feature map, shape (B, C, h, w)."""
        features = self.backbone(images)
        return features if isinstance(features, Tensor) else features[-1]

    def forward(self,
                inputs: Tensor,
                data_samples: OptSampleList = None,
                mode: str = 'tensor'
                ) -> dict[str, Tensor] | SampleList | Tensor:
        """Calculate the loss, predictions, or the map of whole images.

        Args:
            inputs (Tensor): Normalised images, shape (B, 3, H, W).
            data_samples (list[SegDataSample], optional): Their samples, with
                the path of the image.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.last_map(inputs)
        raise ValueError(
            f"mode must be 'loss', 'predict' or 'tensor', but got {mode!r}")

    def loss(self, inputs: Tensor,
             data_samples: SampleList) -> dict[str, Tensor]:
        """Cross entropy of new puzzles, and how many answers are right."""
        refuse_padding(data_samples)
        target, position = self.draw(len(inputs), inputs.device)
        shift = random_shifts(
            len(inputs), self.grid, self.gap,
            inputs.device) if self.gap else None
        images = drop_colour(inputs, self.grey_prob)
        logits = self.solve(self.make_puzzles(images, position, shift)).float()
        loss = F.cross_entropy(logits.flatten(0, -2), target.flatten())
        right = self.accuracy(logits.detach().argmax(dim=-1), target)
        return dict(loss_jigsaw=loss, acc_jigsaw=100 * right)

    @torch.no_grad()
    def predict(self, inputs: Tensor,
                data_samples: OptSampleList = None) -> SampleList:
        """Solve the fixed puzzle of each image.

        Args:
            inputs (Tensor): Normalised images, shape (B, 3, H, W).
            data_samples (list[SegDataSample], optional): Their samples.
                Defaults to None, samples without a path.

        Returns:
            list[SegDataSample]: The samples, with truth and prediction.
        """
        data_samples = data_samples or [SegDataSample() for _ in inputs]
        target, position = self.fixed_puzzles(data_samples, inputs.device)
        logits = self.solve(self.make_puzzles(inputs, position))
        for sample, true, predicted in zip(data_samples, target,
                                           logits.argmax(dim=-1)):
            self.store(sample, true, predicted)
        return data_samples

    def illustrate(self, dataset: Sequence[dict[str, Any]],
                   num: int) -> Illustration:
        """Show how it solves puzzles; see :func:`illustrate_puzzles`."""
        return illustrate_puzzles(self, dataset, num)

    def fixed_puzzles(self, data_samples: SampleList,
                      device: torch.device) -> tuple[Tensor, Tensor]:
        """Puzzles that follow from the file names; as of :meth:`draw`."""
        drawn = []
        for sample in data_samples:
            name = PurePath(sample.get('img_path', '')).name
            generator = torch.Generator().manual_seed(
                zlib.crc32(name.encode()))
            drawn.append(self.draw(1, 'cpu', generator))
        target, position = (torch.cat(x).to(device) for x in zip(*drawn))
        return target, position
