"""FS4: pixel clusters under the guidance of clusters of images."""
from typing import Any

from mmseg.registry import MODELS
from mmseg.utils import OptConfigType, SampleList
from torch import Tensor

from mmseg_ssl.methods.picie import PiCIE


@MODELS.register_module()
class FS4(PiCIE):
    r"""`Fully Self-Supervised Learning for Semantic Segmentation
    <https://arxiv.org/abs/2202.11981>`_.

    PiCIE whose features also tell which cluster of images the image is in
    (PGG): ``L = L_pixel + global_weight * L_PGG`` (Eq. 5). Images come with
    their label, from :class:`RandomPyramidView` in the pipeline, and a
    CAM head learns it from the features of both views; as each of them shows
    half of the image's area at least, both have the label of the image. With
    :class:`ContextPixelEncoder` as encoder, features see their surroundings
    (CAE).

    Args:
        global_head (dict, optional): Config of a :class:`CAMHead` or
            :class:`ModifiedCAMHead`. Defaults to None: no global labels,
            which leaves the CAE of the encoder.
        global_weight (float): lambda. Defaults to 1.
        **kwargs: Of :class:`PiCIE`.
    """

    training_only = (*PiCIE.training_only, 'global_head')

    def __init__(self,
                 *args: Any,
                 global_head: OptConfigType = None,
                 global_weight: float = 1.0,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.global_head = (
            MODELS.build(global_head) if global_head is not None else None)
        self.global_weight = global_weight

    def loss_by_images(self, features: list[Tensor],
                       data_samples: SampleList) -> dict[str, Tensor]:
        """Loss of the global labels (FS4, Eq. 6), mean of both views.

        Args:
            features (list[Tensor]): Of each view, (B, D, h, w).
            data_samples (list[SegDataSample]): ``global_label`` of their
                meta information is the cluster of the image, from 0; a sample
                without one does not count.

        Returns:
            dict[str, Tensor]: ``loss_global``, if there is a head.

        Raises:
            ValueError: A label is not one of the head's clusters.
        """
        if self.global_head is None:
            return {}
        labels = [sample.get('global_label') for sample in data_samples]
        limit = self.global_head.num_clusters
        for label, sample in zip(labels, data_samples):
            if label is not None and not 0 <= label < limit:
                raise ValueError(
                    f'global_label={label} of {sample.get("img_path")} is not '
                    f'in 0..{limit - 1}: global_head.num_clusters must be the '
                    'number of clusters that the pyramid labels were made '
                    'with')
        losses = [self.global_head.loss(x, labels) for x in features]
        return dict(
            loss_global=self.global_weight * sum(losses) / len(losses))
