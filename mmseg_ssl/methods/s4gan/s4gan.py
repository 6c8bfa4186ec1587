"""S4GAN: adversarial training and self-training on unlabelled images."""
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, OptConfigType, SampleList
from torch import Tensor

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.augmentation import PseudoLabeled
from mmseg_ssl.datasets.padding import padding_mask
from mmseg_ssl.methods.mean_teacher import MeanTeacher
from mmseg_ssl.methods.s4gan.discriminator import Judgement


@MODELS.register_module()
class S4GAN(MeanTeacher):
    """Unlabelled predictions should look true to a discriminator.

    Implementation of the S4GAN branch of `Semi-Supervised Semantic
    Segmentation with High- and Low-level Consistency
    <https://arxiv.org/abs/1908.05724>`_ on the data path of
    :class:`MeanTeacher`: views are not mixed. Labelled images and views should
    be augmented alike (``augmentation`` off, one pipeline for both branches):
    the discriminator could tell them apart by blur or borders otherwise. The
    moving average of the student predicts, with the student's batch norm
    statistics, but labels nothing (``test_cfg=dict(predict_on='student')``
    for the original).

    .. code:: text

     loss(): run_student() on labelled images and on views
             loss_by_truth()             labelled images
             loss_by_self_training()     views that look true
             loss_by_feature_matching()  views should look like the truth
             loss_of_discriminator()     truth 1, predicted views 0

    Each loss reaches the student or the discriminator, never both, so that
    one backward pass serves two optimisers; see
    :class:`mmseg_ssl.engine.JointOptimWrapperDict`.

    Void pixels of the truth show the student's prediction to the
    discriminator: it could tell the truth by its holes otherwise.

    Args:
        segmentor (dict): Config of the ``EncoderDecoder``.
        discriminator (dict): Config of the discriminator; its
            ``num_classes`` is set here.
            Defaults to ``dict(type='ImageDiscriminator')``.
        score_threshold (float): The student learns from its own prediction of
            a view where the probability of being true is above this value.
            Defaults to 0.6.
        self_training_weight (float): Defaults to 1.0.
        feature_matching_weight (float): Defaults to 0.1.
        **kwargs: Arguments of :class:`MeanTeacher` but ``mixing``,
            ``strong_threshold`` and ``norm_statistics``.

    Raises:
        ValueError: The discriminator has other classes than the segmentor.
    """

    def __init__(self,
                 segmentor: ConfigType,
                 discriminator: OptConfigType = None,
                 score_threshold: float = 0.6,
                 self_training_weight: float = 1.0,
                 feature_matching_weight: float = 0.1,
                 **kwargs: Any) -> None:
        # A teacher that never runs gathers no statistics of its own.
        super().__init__(
            segmentor, mixing=None, norm_statistics='student', **kwargs)
        self.discriminator = MODELS.build({
            'type': 'ImageDiscriminator',
            'num_classes': self.out_channels,
            **(discriminator or {})
        })
        if self.discriminator.num_classes != self.out_channels:
            raise ValueError(
                f'discriminator.num_classes is '
                f'{self.discriminator.num_classes}, but the segmentor has '
                f'{self.out_channels} classes; leave it out')
        self.score_threshold = score_threshold
        self.self_training_weight = self_training_weight
        self.feature_matching_weight = feature_matching_weight

    @property
    def training_only(self) -> tuple[str, ...]:
        """What prediction can do without, see PreflightHook."""
        return (*super().training_only, 'discriminator')

    def loss(self, inputs: dict[str, Tensor],
             data_samples: dict[str, SampleList]) -> dict[str, Tensor]:
        """Calculate losses from a batch with two branches.

        Args:
            inputs (dict[str, Tensor]): Images of the branches ``labeled`` and
                ``unlabeled``, each of shape (B, 3, H, W).
            data_samples (dict[str, list[SegDataSample]]): Their samples, with
                ``gt_sem_seg`` in the labelled branch.

        Returns:
            dict[str, Tensor]: Loss components, and what is worth logging.
        """
        images, truth = inputs['labeled'], data_samples['labeled']
        views = self.make_views(inputs['unlabeled'], data_samples['unlabeled'])
        labeled = self.run_student(images)
        unlabeled = self.run_student(views.images)
        logits = self._resized(self.logits_of(unlabeled), views.images)

        # Towards the student, the discriminator is a fixed function.
        judged = self._judge_fixed(views.images, logits.softmax(dim=1))
        real = self.discriminator(
            images,
            self.true_map(self._resized(self.logits_of(labeled), images),
                          truth))
        fake = self.discriminator(views.images, logits.detach().softmax(dim=1))

        losses = self.loss_by_truth(labeled, truth)
        losses.update(self.loss_by_self_training(logits, judged, views))
        losses.update(self.loss_by_feature_matching(judged, real))
        losses.update(self.loss_of_discriminator(real, fake))
        return losses

    def check_batch(self, inputs: dict[str, Tensor],
                    data_samples: dict[str, SampleList]) -> None:
        """As in :class:`MeanTeacher`; the discriminator has a least size."""
        super().check_batch(inputs, data_samples)
        for images in inputs.values():
            self.discriminator.check_size(tuple(images.shape[2:]))

    @torch.no_grad()
    def pseudo_label(self, images: Tensor,
                     data_samples: SampleList) -> PseudoLabeled:
        """Mark padding as void; the student labels the views later."""
        void = padding_mask(data_samples, images)
        labels = torch.zeros_like(void, dtype=torch.long)
        return PseudoLabeled(images, labels.masked_fill_(void, IGNORE_INDEX),
                             (~void).to(images.dtype))

    @staticmethod
    @torch.no_grad()
    def true_map(logits: Tensor, truth: SampleList) -> Tensor:
        """The truth as the discriminator sees it.

        Args:
            logits (Tensor): The student's, shape (B, C, H, W).
            truth (list[SegDataSample]): Labels (H, W).

        Returns:
            Tensor: Shape (B, C, H, W): one-hot, the predicted probabilities
            where the truth is void.
        """
        labels = torch.stack([s.gt_sem_seg.data for s in truth])  # (B,1,H,W)
        known = labels != IGNORE_INDEX
        one_hot = torch.zeros_like(logits).scatter_(
            1, labels.masked_fill(~known, 0), 1)
        return torch.where(known, one_hot, logits.softmax(dim=1))

    def loss_by_self_training(self, logits: Tensor, judged: Judgement,
                              views: PseudoLabeled) -> dict[str, Tensor]:
        """Cross entropy with the student's own labels, where they look true.

        The mean is over the valid pixels of the views whose score is above
        ``score_threshold``.
        """
        score = judged.logits.detach().float().sigmoid()  # (B,)
        trusted = score > self.score_threshold
        valid = trusted[:, None, None] & (views.labels != IGNORE_INDEX)
        labels = logits.detach().argmax(dim=1).masked_fill(
            ~valid, IGNORE_INDEX)
        total = F.cross_entropy(
            logits, labels, ignore_index=IGNORE_INDEX, reduction='sum')
        loss = total / valid.sum().clamp(min=1)
        return dict(
            loss_unsup=self.self_training_weight * loss,
            trusted_share=trusted.float().mean(),
            score=score.mean())

    def loss_by_feature_matching(self, judged: Judgement,
                                 real: Judgement) -> dict[str, Tensor]:
        """Mean features of predicted views should be those of the truth."""
        target = real.features.detach().float().mean(dim=0)
        difference = judged.features.float().mean(dim=0) - target
        return dict(loss_feature_matching=self.feature_matching_weight *
                    difference.abs().mean())

    @staticmethod
    def loss_of_discriminator(real: Judgement,
                              fake: Judgement) -> dict[str, Tensor]:
        """Binary cross entropy: the truth is 1, predicted views are 0."""
        logits = torch.cat([real.logits, fake.logits]).float()
        target = torch.cat([torch.ones_like(real.logits),
                            torch.zeros_like(fake.logits)]).float()
        return dict(
            loss_discriminator=F.binary_cross_entropy_with_logits(
                logits, target),
            discriminator_accuracy=((logits > 0) == (target > 0.5)).float(
            ).mean())

    def _judge_fixed(self, images: Tensor, label_maps: Tensor) -> Judgement:
        """Judge with a graph to the label maps, none to the discriminator."""
        parameters = {
            name: parameter.detach()
            for name, parameter in self.discriminator.named_parameters()}
        return torch.func.functional_call(
            self.discriminator, parameters, (images, label_maps))

    def _resized(self, logits: Tensor, images: Tensor) -> Tensor:
        return resize(
            logits, size=images.shape[2:], mode='bilinear',
            align_corners=self.align_corners)
