"""ReCo: regional contrast on top of a mean teacher."""
from typing import Any

import torch
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, SampleList
from torch import Tensor

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.augmentation import PseudoLabeled
from mmseg_ssl.methods.mean_teacher import MeanTeacher
from mmseg_ssl.methods.mean_teacher.mean_teacher import StudentOutputs
from mmseg_ssl.methods.reco.embedding_head import (
    EmbeddingHead,
    build_contrast_loss,
    on_grid_of,
    probability_on_grid_of,
)


@MODELS.register_module()
class ReCo(MeanTeacher):
    """Mean teacher plus regional contrast over labelled and unlabelled pixels.

    Implementation of `Bootstrapping Semantic Segmentation with Regional
    Contrast <https://arxiv.org/abs/2104.04465>`_ (Eq. 6). The student's decode
    head is an :class:`EmbeddingHead`. ReCo on top of supervised training needs
    no teacher: give an ``EncoderDecoder`` an :class:`EmbeddingHead` with
    ``loss_contrast``.

    Args:
        segmentor (dict): Config of an ``EncoderDecoder`` whose ``decode_head``
            is an ``EmbeddingHead`` without ``loss_contrast``.
        loss_contrast (dict): Config of the contrast loss.
        weak_threshold (float): Unlabelled pixels join the contrast when the
            teacher's confidence is at least this (Eq. 2).
            Defaults to 0.7.
        **kwargs: Arguments of :class:`MeanTeacher`.

    Raises:
        ValueError: The decode head is no such ``EmbeddingHead``, or the loss
            is made for other sizes than it has.
    """

    def __init__(self,
                 segmentor: ConfigType,
                 loss_contrast: ConfigType,
                 weak_threshold: float = 0.7,
                 **kwargs: Any) -> None:
        super().__init__(segmentor, **kwargs)
        head = self.student.decode_head
        if not isinstance(head, EmbeddingHead) or head.loss_contrast:
            raise ValueError(
                'ReCo needs segmentor.decode_head to be an EmbeddingHead '
                'without loss_contrast (the loss belongs to ReCo itself), but '
                f'got {type(head).__name__}')
        self.loss_contrast = build_contrast_loss(loss_contrast, head)
        self.weak_threshold = weak_threshold

    @property
    def training_only(self) -> tuple[str, ...]:
        """Also the loss, which may keep a bank of features."""
        return (*super().training_only, 'loss_contrast')

    def check_batch(self, inputs: dict[str, Tensor],
                    data_samples: dict[str, SampleList]) -> None:
        """As in :class:`MeanTeacher`; both branches are of one size."""
        super().check_batch(inputs, data_samples)
        sizes = [tuple(inputs[branch].shape[2:])
                 for branch in ('labeled', 'unlabeled')]
        if sizes[0] != sizes[1]:
            raise ValueError(
                'ReCo contrasts labelled and unlabelled images together, so '
                'both need the same crop size, but (height, width) are '
                f'{sizes[0]} and {sizes[1]}')

    def logits_of(self, outputs: StudentOutputs) -> Tensor:
        """The logits (B, C, h, w) beside the embedding."""
        return outputs.decoded[0]

    def loss_by_both(self, labeled: StudentOutputs, unlabeled: StudentOutputs,
                     truth: SampleList,
                     views: PseudoLabeled) -> dict[str, Tensor]:
        """Contrast the valid pixels of both branches (Eq. 1-4)."""
        labels = torch.stack([s.gt_sem_seg.data for s in truth]).squeeze(1)
        pseudo_labels = views.labels.masked_fill(
            views.confidence < self.weak_threshold, IGNORE_INDEX)
        branches = ((*labeled.decoded, labels),
                    (*unlabeled.decoded, pseudo_labels))
        self._check_grids(*(embedding for _, embedding, _ in branches))
        embedding = torch.cat([embedding for _, embedding, _ in branches])
        label = torch.cat([
            on_grid_of(embedding, pixel_map)
            for _, embedding, pixel_map in branches
        ])
        prob = torch.cat([
            probability_on_grid_of(embedding, logits)
            for logits, embedding, _ in branches
        ])
        return dict(loss_reco=self.loss_contrast(embedding, label, prob))

    @staticmethod
    def _check_grids(labeled: Tensor, unlabeled: Tensor) -> None:
        if labeled.shape[2:] != unlabeled.shape[2:]:
            raise ValueError(
                'ReCo contrasts labelled and unlabelled images together, so '
                'both need the same crop size, but their embeddings measure '
                f'{tuple(labeled.shape[2:])} and '
                f'{tuple(unlabeled.shape[2:])} cells')
