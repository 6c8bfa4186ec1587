"""Learning where every image has labels for a few of its pixels."""
import torch
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.augmentation import PseudoLabeled
from mmseg_ssl.methods.mean_teacher.mean_teacher import MeanTeacher


class GivenLabels:
    """What is labelled in an unlabelled image overrides the teacher.

    A mix-in before :class:`MeanTeacher` or a subclass of it, for "Partial
    Labels Full Dataset" of `Bootstrapping Semantic Segmentation with Regional
    Contrast <https://arxiv.org/abs/2104.04465>`_: given labels have confidence
    1, the teacher labels the rest. Both branches of the data load (partial)
    label maps.
    """

    def check_batch(self, inputs: dict[str, Tensor],
                    data_samples: dict[str, SampleList]) -> None:
        """As in :class:`MeanTeacher`; unlabelled images have labels, too."""
        super().check_batch(inputs, data_samples)
        self.given_labels(data_samples['unlabeled'])

    @torch.no_grad()
    def pseudo_label(self, images: Tensor,
                     data_samples: SampleList) -> PseudoLabeled:
        """Ask the teacher, except where a label is given.

        Args:
            images (Tensor): Weakly augmented images, shape (B, 3, H, W).
            data_samples (list[SegDataSample]): With ``gt_sem_seg``.

        Returns:
            PseudoLabeled: Labels of both kinds, with their confidence.

        Raises:
            ValueError: A sample has no label map.
        """
        given = self.given_labels(data_samples)
        batch = super().pseudo_label(images, data_samples)
        known = given != IGNORE_INDEX
        return batch._replace(
            labels=torch.where(known, given, batch.labels),
            confidence=batch.confidence.masked_fill(known, 1))

    @staticmethod
    def given_labels(data_samples: SampleList) -> Tensor:
        """The (partial) label maps of samples, shape (B, H, W), int64."""
        for sample in data_samples:
            if 'gt_sem_seg' not in sample:
                raise ValueError(
                    f'image {sample.get("img_path", "")} of the unlabelled '
                    'branch has no label map, but training with partial '
                    'labels needs one for every image: let both datasets load '
                    'annotations (a dataset with seg_map_path, and '
                    'LoadAnnotations in its pipeline)')
        return torch.stack(
            [sample.gt_sem_seg.data for sample in data_samples]).squeeze(1)


@MODELS.register_module()
class PartialLabelMeanTeacher(GivenLabels, MeanTeacher):
    """A :class:`MeanTeacher` for images of which a few pixels are labelled.

    Takes the arguments of :class:`MeanTeacher`; :class:`GivenLabels` says
    what is different.
    """
