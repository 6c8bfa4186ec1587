"""Jigsaw puzzles as patch-wise classification by a convolutional network."""
from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import ConfigType, OptConfigType
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from mmseg_ssl.backbones import output_receptive_field
from mmseg_ssl.methods.jigsaw.base import Arrangement, JigsawModel
from mmseg_ssl.methods.jigsaw.puzzle import pool_patches, random_positions


@MODELS.register_module()
class PatchPositionHead(BaseModule):
    """Tell where a patch belongs from its feature and the central one's.

    A small perceptron on the concatenation of both, the same for all patches
    (Eq. 6 of `Self-Supervised Learning with Fully Convolutional Networks
    <https://arxiv.org/abs/2012.10017>`_).

    Args:
        in_channels (int): Channels of a patch's feature, C.
        grid (int): Patches along each side. Defaults to 3.
        hidden_channels (int): Width of the hidden layer. Defaults to 512.
        norm_cfg (dict, optional): Norm of the hidden layer, over patches,
            such as ``dict(type='BN1d')``. Defaults to None.
        init_cfg (dict, optional): Defaults to Xavier's.
    """

    def __init__(self,
                 in_channels: int,
                 grid: int = 3,
                 hidden_channels: int = 512,
                 norm_cfg: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg or dict(type='Xavier', layer='Linear'))
        self.num_patches = grid * grid
        self.hidden = nn.Linear(
            2 * in_channels, hidden_channels, bias=norm_cfg is None)
        self.norm = (nn.Identity() if norm_cfg is None else build_norm_layer(
            norm_cfg, hidden_channels)[1])
        self.relu = nn.ReLU(inplace=True)
        self.classifier = nn.Linear(hidden_channels, self.num_patches)

    def forward(self, pooled: Tensor) -> Tensor:
        """Logits over cells, shape (B, N, N), of features (B, N, C)."""
        centre = self.num_patches // 2
        reference = pooled[:, centre:centre + 1].expand_as(pooled)
        pairs = torch.cat([pooled, reference], dim=2).flatten(0, 1)
        hidden = self.relu(self.norm(self.hidden(pairs)))
        return self.classifier(hidden).view(*pooled.shape[:2], -1)


@MODELS.register_module()
class JigsawFCN(JigsawModel):
    """Find the place of every patch of a shuffled image in one forward pass.

    Implementation of `Self-Supervised Learning with Fully Convolutional
    Networks <https://arxiv.org/abs/2012.10017>`_ (section 3.3): all patches
    but the central one are shuffled, a fully convolutional backbone sees the
    whole puzzle, the cells of each patch are averaged, and the head predicts
    one of N absolute positions for each of the N patches; the loss is the
    mean of their cross entropies (Eq. 7).

    A cell belongs to the patch in which the centre of its receptive field
    lies (Eq. 3). Centres are computed from the backbone's operations; for
    one that is not made of convolutions, give ``stride`` and ``offset``.

    Args:
        backbone (dict): See :class:`JigsawModel`.
        head (dict): Config of the head, without ``grid``.
        stride (int, optional): Pixels from cell to cell of the last map.
            Defaults to None, computed.
        offset (float, optional): Centre of the first cell's field, in pixels
            from the centre of the first pixel. Defaults to None, computed.
        **kwargs: Of :class:`JigsawModel`.

    Raises:
        ValueError: Besides those of :class:`JigsawModel`: if the stride and
            offset of the backbone cannot be computed; when it is run, if a
            patch has no cell.
    """

    def __init__(self,
                 backbone: ConfigType,
                 head: ConfigType,
                 stride: int | None = None,
                 offset: float | None = None,
                 **kwargs: Any) -> None:
        super().__init__(backbone, **kwargs)
        self.head = MODELS.build({**head, 'grid': self.grid})
        if stride is None or offset is None:
            stride, offset = self._cells_of_backbone()
        self.stride, self.offset = stride, offset

    def _cells_of_backbone(self) -> tuple[int, float]:
        name = type(self.backbone).__name__
        advice = 'give stride and offset of its last map in the config'
        try:
            rows, columns = output_receptive_field(self.backbone)
        except ValueError as error:
            raise ValueError(f'{name}: {error}; {advice}') from error
        if rows != columns:
            raise ValueError(
                f'{name}: receptive fields differ along height and width, '
                f'{rows} and {columns}; {advice}')
        return rows.stride, rows.offset

    def draw(self, batch_size: int, device: torch.device | str,
             generator: torch.Generator | None = None
             ) -> tuple[Tensor, Tensor]:
        """Random positions, which are what is to be predicted as well."""
        position = random_positions(batch_size, self.grid, device, generator)
        return position, position

    def solve(self, puzzles: Tensor) -> Tensor:
        """Logits over cells, shape (B, N, N), of puzzles (B, 3, H, W)."""
        pooled = pool_patches(
            self.last_map(puzzles), self.grid, puzzles.shape[-2:],
            self.stride, self.offset)
        return self.head(pooled)

    def store(self, sample: SegDataSample, target: Tensor,
              prediction: Tensor) -> None:
        """Write ``position`` and ``pred_position``, for PatchAccuracy."""
        sample.position = target
        sample.pred_position = prediction

    def arrange(self, logits: Tensor, position: Tensor) -> Arrangement:
        """Where the model puts the patches of one puzzle.

        It may want one place for two patches; here every patch gets its own,
        so that their log-probabilities sum up highest.

        Args:
            logits (Tensor): Shape (N, N).
            position (Tensor): True cells, shape (N, ).
        """
        log_prob = logits.float().log_softmax(dim=1)
        _, cells = linear_sum_assignment(
            log_prob.cpu().numpy(), maximize=True)
        true = log_prob.exp().gather(1, position[:, None])[:, 0]
        return Arrangement(
            torch.as_tensor(cells, device=position.device),
            logits.argmax(dim=1) == position, true)

    def accuracy(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Accuracy over the movable patches; the centre is no merit."""
        right = (prediction == target).float()
        centre = right.size(1) // 2
        return (right.sum() - right[:, centre].sum()) / (
            right.numel() - len(right))
