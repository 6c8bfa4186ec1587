"""Segmentation from hypercolumns."""
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import ConfigType, SampleList
from torch import Tensor

from mmseg_ssl.backbones.hypercolumn import (
    HypercolumnProjection,
    draw_points,
)


@MODELS.register_module()
class HypercolumnHead(BaseDecodeHead):
    """Classify pixels by what all layers say about them.

    The head of `Learning Representations for Automatic Colorization
    <https://arxiv.org/abs/1603.06668>`_ as `Colorization as a Proxy Task for
    Visual Understanding <https://arxiv.org/abs/1703.04044>`_ and
    `Mix-and-Match Tuning <https://arxiv.org/abs/1712.00661>`_ use it for
    segmentation: hypercolumns -> one hidden layer -> classes. Trains on a few
    pixels of each image; predicts every pixel, in tiles.

    Args:
        in_channels (Sequence[int]): Channels of each map.
        in_index (Sequence[int]): Which outputs of the backbone to use, fine
            ones first.
        channels (int): Of the hidden layer. Defaults to 1024.
        num_points (int): Labelled pixels of each image to train on, drawn
            with replacement. Defaults to 512.
        grids (Sequence[tuple[float, float]], optional): Stride and offset of
            each map, see :class:`HypercolumnProjection`.
        tile (int): Side of the tiles of a prediction. Defaults to 64.
        step (int): Predict in steps of so many pixels and interpolate the
            logits. Defaults to 1.
        **kwargs: Of mmseg's ``BaseDecodeHead``.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 in_index: Sequence[int],
                 channels: int = 1024,
                 num_points: int = 512,
                 grids: Sequence[tuple[float, float]] | None = None,
                 tile: int = 64,
                 step: int = 1,
                 **kwargs: Any) -> None:
        super().__init__(
            in_channels=list(in_channels),
            in_index=list(in_index),
            channels=channels,
            input_transform='multiple_select',
            **kwargs)
        if num_points < 1 or step < 1:
            raise ValueError('num_points and step must be at least 1, but got '
                             f'{num_points} and {step}')
        self.projection = HypercolumnProjection(in_channels, channels, grids,
                                                tile)
        self.num_points = num_points
        self.step = step

    def loss(self, inputs: tuple[Tensor, ...],
             batch_data_samples: SampleList,
             train_cfg: ConfigType) -> dict[str, Tensor]:
        """Losses at a few labelled pixels of each image.

        Args:
            inputs (tuple[Tensor]): Maps of the backbone.
            batch_data_samples (list[SegDataSample]): With ``gt_sem_seg``.
            train_cfg (dict): Not used.

        Returns:
            dict[str, Tensor]: Those of mmseg's ``loss_by_feat``.
        """
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        points = draw_points(labels != self.ignore_index, self.num_points)
        hidden = self.projection.at_points(
            self._transform_inputs(inputs), points, labels.shape[1:])
        logits = self.cls_seg(hidden.relu().unsqueeze(3))  # (B, K, P, 1)
        drawn = labels.flatten(1).gather(
            1, points[..., 1] * labels.size(2) + points[..., 0])
        samples = [
            SegDataSample(gt_sem_seg=PixelData(data=row[None, :, None]))
            for row in drawn
        ]
        return self.loss_by_feat(logits, samples)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Logits at the resolution of the finest map.

        Args:
            inputs (tuple[Tensor]): Maps of the backbone.

        Returns:
            Tensor: Shape (B, num_classes, h, w).
        """
        maps = self._transform_inputs(inputs)
        size = maps[0].shape[2:]
        grid = self.projection.grids[0]
        if grid is None:
            return self._dense_logits(maps, tuple(size), 1)
        # the pixels that lie under the cells of the finest map
        height, width = (round(cells * grid.stride) for cells in size)
        return self._dense_logits(maps, (height, width), round(grid.stride))

    def predict(self, inputs: tuple[Tensor, ...],
                batch_img_metas: list[dict],
                test_cfg: ConfigType) -> Tensor:
        """Logits of every pixel.

        Args:
            inputs (tuple[Tensor]): Maps of the backbone.
            batch_img_metas (list[dict]): Sizes of the images.
            test_cfg (dict): Not used.

        Returns:
            Tensor: Shape (B, num_classes, H, W).
        """
        meta = batch_img_metas[0]
        size = meta['img_shape']
        if not isinstance(size, torch.Size):  # else slide inference
            size = meta.get('pad_shape', size)[:2]
        logits = self._dense_logits(
            self._transform_inputs(inputs), tuple(size), self.step)
        return self.predict_by_feat(logits, batch_img_metas)

    def _dense_logits(self, maps: Sequence[Tensor],
                      image_size: tuple[int, int], step: int) -> Tensor:
        shape = [-(-size // step) for size in image_size]
        logits = maps[0].new_empty(
            (len(maps[0]), self.out_channels, *shape))
        for rows, columns, hidden in self.projection.dense(
                maps, image_size, step):
            logits[:, :, rows, columns] = self.cls_seg(hidden.relu())
        return logits
