"""ReCo where every image has labels for a few of its pixels."""
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import SampleList
from torch import Tensor

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.augmentation import PseudoLabeled
from mmseg_ssl.datasets.padding import padding_mask
from mmseg_ssl.methods.mean_teacher import GivenLabels
from mmseg_ssl.methods.mean_teacher.mean_teacher import StudentOutputs
from mmseg_ssl.methods.reco.reco import ReCo


@MODELS.register_module()
class PartialLabelReCo(GivenLabels, ReCo):
    """ReCo for images of which a few pixels are labelled.

    "Partial Labels Full Dataset" of `Bootstrapping Semantic Segmentation with
    Regional Contrast <https://arxiv.org/abs/2104.04465>`_. In the unlabelled
    branch a given label overrides the teacher (:class:`GivenLabels`). In the
    labelled branch the cross entropy sees the given labels alone, and the
    contrast also pixels without one of which the student is sure.

    Args:
        student_threshold (float): A pixel without a label in a partly
            labelled image joins the contrast, with the student's label, when
            the student's confidence is at least this. Defaults to 0.97.
        **kwargs: Arguments of :class:`ReCo`.
    """

    def __init__(self,
                 *args: Any,
                 student_threshold: float = 0.97,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.student_threshold = student_threshold

    def loss_by_both(self, labeled: StudentOutputs, unlabeled: StudentOutputs,
                     truth: SampleList,
                     views: PseudoLabeled) -> dict[str, Tensor]:
        """Contrast the pixels of both branches, labelled as far as known."""
        completed = self.complete(self.logits_of(labeled), truth)
        samples = [SegDataSample(gt_sem_seg=PixelData(data=labels[None]))
                   for labels in completed]
        return super().loss_by_both(labeled, unlabeled, samples, views)

    @torch.no_grad()
    def complete(self, logits: Tensor, truth: SampleList) -> Tensor:
        """Add the labels that the student is sure of to the given ones.

        Args:
            logits (Tensor): The student's, shape (B, C, h, w).
            truth (list[SegDataSample]): Partial labels (H, W).

        Returns:
            Tensor: Shape (B, H, W), int64, 255 = neither.
        """
        given = self.given_labels(truth)
        prob = resize(
            logits.float(), size=given.shape[1:], mode='bilinear',
            align_corners=self.align_corners).softmax(dim=1)
        confidence, labels = prob.max(dim=1)
        sure = (confidence >= self.student_threshold) & ~padding_mask(
            truth, prob)
        labels = labels.masked_fill(~sure, IGNORE_INDEX)
        return torch.where(given != IGNORE_INDEX, given, labels)
