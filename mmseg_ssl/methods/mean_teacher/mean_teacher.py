"""Mean Teacher for semantic segmentation."""
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmseg.models.segmentors import BaseSegmentor
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.utils import (
    ConfigType,
    OptConfigType,
    OptSampleList,
    SampleList,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.augmentation import (
    PseudoLabelAugmentation,
    PseudoLabeled,
)
from mmseg_ssl.datasets.padding import padding_mask
from mmseg_ssl.methods.mean_teacher.ema import TeacherEMA
from mmseg_ssl.methods.mean_teacher.mixing import check_batch_size, get_mixing

PREDICT_ON = ('teacher', 'student')


class StudentOutputs(NamedTuple):
    """What the student makes of a batch of images."""

    features: tuple[Tensor, ...]  # of the backbone (and neck)
    decoded: Any  # what decode_head.forward returns


@MODELS.register_module()
class MeanTeacher(BaseSegmentor):
    r"""Learn from unlabelled images by agreeing with a teacher.

    Implementation of `Mean teachers are better role models
    <https://arxiv.org/abs/1703.01780>`_ for segmentation, with the recipe of
    `Bootstrapping Semantic Segmentation with Regional Contrast
    <https://arxiv.org/abs/2104.04465>`_ (Eq. 6 without its last term). The
    teacher is an average of the student's weights; it is updated by
    :class:`mmseg_ssl.engine.MeanTeacherHook`. The data are batches of
    :class:`mmseg_ssl.datasets.SemiSegDataset`.

    .. code:: text

     loss(): make_views() -> pseudo_label() -> scale + crop -> mix -> jitter
             run_student() on labelled images and on the views
             loss_by_truth()          labelled images
             loss_by_pseudo_labels()  views
             loss_by_both()           for subclasses
     predict(): the teacher (or the student) predicts

    Args:
        segmentor (dict): Config of the ``EncoderDecoder`` that becomes
            student and teacher.
        mixing (str, optional): ``'cutout'``, ``'cutmix'``, ``'classmix'``, or
            None for a plain mean teacher. Defaults to ``'classmix'``.
        strong_threshold (float): A pseudo-label counts as confident above
            this probability; the share of confident pixels in an image
            weights the image's loss. Defaults to 0.97.
        momentum (float): Weight of the student in an update of the teacher,
            :math:`\theta' = (1 - m) \theta' + m \theta`. Defaults to 0.01.
        norm_statistics (str): See :class:`TeacherEMA`.
            Defaults to ``'own'``.
        augmentation (dict, optional): Arguments of
            :class:`mmseg_ssl.datasets.PseudoLabelAugmentation`.
            Defaults to None.
        data_preprocessor (dict, optional): Defaults to that of ``segmentor``,
            made aware of the two branches.
        pretrained (str, optional): Checkpoint of the backbone, as in mmseg's
            segmentors. Defaults to None.
        train_cfg (dict, optional): Empty; for ``mmseg.apis``, which names it
            for every segmentor. Defaults to None.
        test_cfg (dict, optional): ``predict_on`` names who predicts,
            ``'teacher'`` or ``'student'``. How to predict is in the
            ``test_cfg`` of ``segmentor``.
            Defaults to ``dict(predict_on='teacher')``.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    required_hooks = ('MeanTeacherHook', )  # see PreflightHook

    def __init__(self,
                 segmentor: ConfigType,
                 mixing: str | None = 'classmix',
                 strong_threshold: float = 0.97,
                 momentum: float = 0.01,
                 norm_statistics: str = 'own',
                 augmentation: OptConfigType = None,
                 data_preprocessor: OptConfigType = None,
                 pretrained: str | None = None,
                 train_cfg: OptConfigType = None,
                 test_cfg: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        if train_cfg:
            raise ValueError(
                f'{type(self).__name__} takes no train_cfg, but got '
                f'{dict(train_cfg)}; how to train is in segmentor.train_cfg')
        if pretrained is not None:
            segmentor = {**segmentor, 'pretrained': pretrained}
        super().__init__(
            self._branch_aware(data_preprocessor
                               or segmentor.get('data_preprocessor')),
            init_cfg)
        self.mix = get_mixing(mixing) if mixing is not None else None
        self.strong_threshold = strong_threshold
        self.student = MODELS.build(segmentor)
        if self.student.out_channels < 2:
            raise ValueError(
                'the segmentor predicts a single channel '
                '(decode_head.out_channels=1); pseudo-labels need one channel '
                'per class, so leave out_channels out of the decode head')
        self.teacher = TeacherEMA(self.student, momentum, norm_statistics)
        self.augmentation = PseudoLabelAugmentation(
            mean=getattr(self.data_preprocessor, 'mean', 0.0),
            std=getattr(self.data_preprocessor, 'std', 1.0),
            **(augmentation or {}))
        self.test_cfg = {'predict_on': 'teacher', **(test_cfg or {})}
        if self.test_cfg['predict_on'] not in PREDICT_ON:
            raise ValueError(
                f'test_cfg.predict_on must be one of {PREDICT_ON}, but got '
                f'{self.test_cfg["predict_on"]!r}')
        self.align_corners = self.student.align_corners
        self.out_channels = self.student.out_channels

    @staticmethod
    def _branch_aware(data_preprocessor: OptConfigType) -> ConfigType:
        """Put mmseg's preprocessor to work on both branches of a batch.

        The runner hands the preprocessor at the top of a config to every
        model that names none, so mmseg's own arrives here from stock bases.
        """
        if data_preprocessor is None:
            return dict(type='SemiSegDataPreProcessor')
        if data_preprocessor.get('type') != 'SegDataPreProcessor':
            return data_preprocessor
        return {**data_preprocessor, 'type': 'SemiSegDataPreProcessor'}

    @property
    def predictor(self) -> BaseSegmentor:
        """The network that predicts, by ``test_cfg['predict_on']``."""
        if self.test_cfg['predict_on'] == 'student':
            return self.student
        return self.teacher.module

    @property
    def decode_head(self) -> nn.Module:
        """Decode head of the predictor, which mmseg's inference looks at."""
        return self.predictor.decode_head

    @property
    def training_only(self) -> tuple[str, ...]:
        """The network that prediction can do without, see PreflightHook."""
        return tuple(name for name in PREDICT_ON
                     if name != self.test_cfg['predict_on'])

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
        views = self.make_views(inputs['unlabeled'], data_samples['unlabeled'])
        labeled = self.run_student(inputs['labeled'])
        unlabeled = self.run_student(views.images)
        truth = data_samples['labeled']
        losses = self.loss_by_truth(labeled, truth)
        losses.update(self.loss_by_pseudo_labels(unlabeled, views))
        losses.update(self.loss_by_both(labeled, unlabeled, truth, views))
        return losses

    def check_data(self, dataloader: DataLoader) -> None:
        """Refuse data that training would stumble over, see PreflightHook.

        Looks at the batch size and at a single item of the dataset.

        Args:
            dataloader (DataLoader): Of the training.

        Raises:
            ValueError: Names what is missing or does not fit.
        """
        if dataloader.batch_size is not None:  # else a batch sampler decides
            check_batch_size(self.mix, dataloader.batch_size)
        item = dataloader.collate_fn([dataloader.dataset[0]])
        data = self.data_preprocessor(item, training=True)
        if not isinstance(data['inputs'], dict):
            raise ValueError(
                f'{type(self).__name__} learns from labelled and unlabelled '
                'images side by side: train_dataloader.dataset has to be a '
                'SemiSegDataset')
        self.check_batch(data['inputs'], data['data_samples'])

    def check_batch(self, inputs: dict[str, Tensor],
                    data_samples: dict[str, SampleList]) -> None:
        """Refuse what :meth:`loss` could not use; same arguments.

        Raises:
            ValueError: Names what is missing or does not fit.
        """
        for sample in data_samples['labeled']:
            if 'gt_sem_seg' not in sample:
                raise ValueError(
                    f'image {sample.get("img_path", "")} of the labelled '
                    'branch has no label map: its dataset needs seg_map_path, '
                    'and LoadAnnotations in its pipeline')

    @torch.no_grad()
    def make_views(self, images: Tensor,
                   data_samples: SampleList) -> PseudoLabeled:
        """Pseudo-label unlabelled images, then augment both together.

        Args:
            images (Tensor): Weakly augmented images, shape (B, 3, H, W).
            data_samples (list[SegDataSample]): Their samples.

        Returns:
            PseudoLabeled: What the student learns from.
        """
        batch = self.pseudo_label(images, data_samples)
        batch = self.augmentation.scale_crop(batch)
        if self.mix is not None:
            batch = self.mix(batch)
        return self.augmentation.photometric(batch)

    @torch.no_grad()
    def pseudo_label(self, images: Tensor,
                     data_samples: SampleList) -> PseudoLabeled:
        """Ask the teacher for labels and its confidence; padding is void."""
        metas = [dict(img_shape=images.shape[2:])] * len(images)
        logits = self.teacher.module.encode_decode(images, metas)
        confidence, labels = logits.float().softmax(dim=1).max(dim=1)
        padding = padding_mask(data_samples, images)
        return PseudoLabeled(
            images=images,
            labels=labels.masked_fill(padding, IGNORE_INDEX),
            confidence=confidence.masked_fill(padding, 0))

    def run_student(self, images: Tensor) -> StudentOutputs:
        """Forward images (B, 3, H, W) through the student."""
        features = self.student.extract_feat(images)
        return StudentOutputs(features, self.student.decode_head(features))

    def logits_of(self, outputs: StudentOutputs) -> Tensor:
        """The logits (B, C, h, w) among the student's outputs."""
        return outputs.decoded

    def loss_by_truth(self, outputs: StudentOutputs,
                      data_samples: SampleList) -> dict[str, Tensor]:
        """The segmentor's own losses on labelled images."""
        losses = dict(
            self.student.decode_head.loss_by_feat(outputs.decoded,
                                                  data_samples))
        if self.student.with_auxiliary_head:
            losses.update(
                self.student._auxiliary_head_forward_train(
                    outputs.features, data_samples))
        return losses

    def loss_by_pseudo_labels(self, outputs: StudentOutputs,
                              views: PseudoLabeled) -> dict[str, Tensor]:
        """Cross entropy with pseudo-labels, weighted per image.

        The weight is the share of an image's valid pixels whose confidence is
        above ``strong_threshold`` (ReCo, Eq. 6); the mean is over the valid
        pixels of the batch.
        """
        logits = resize(
            self.logits_of(outputs),
            size=views.labels.shape[1:],
            mode='bilinear',
            align_corners=self.align_corners)
        per_pixel = F.cross_entropy(
            logits, views.labels, ignore_index=IGNORE_INDEX, reduction='none')
        valid = views.labels != IGNORE_INDEX
        confident = valid & (views.confidence > self.strong_threshold)
        weight = confident.sum((1, 2)) / valid.sum((1, 2)).clamp(min=1)
        loss = (weight * per_pixel.sum((1, 2))).sum()
        return dict(
            loss_unsup=loss / valid.sum().clamp(min=1),
            confident_share=weight.mean())

    def loss_by_both(self, labeled: StudentOutputs, unlabeled: StudentOutputs,
                     truth: SampleList,
                     views: PseudoLabeled) -> dict[str, Tensor]:
        """Losses over labelled and unlabelled images together; none here."""
        return {}

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Features of the predictor."""
        return self.predictor.extract_feat(inputs)

    def encode_decode(self, inputs: Tensor,
                      batch_img_metas: list[dict]) -> Tensor:
        """Logits of the predictor at image size."""
        return self.predictor.encode_decode(inputs, batch_img_metas)

    def predict(self,
                inputs: Tensor,
                data_samples: OptSampleList = None) -> SampleList:
        """Predict with the teacher or the student, as the segmentor does."""
        return self.predictor.predict(inputs, data_samples)

    def _forward(self,
                 inputs: Tensor,
                 data_samples: OptSampleList = None) -> Tensor:
        return self.predictor._forward(inputs, data_samples)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str,
                              *args: Any) -> None:
        """Load the checkpoint of a plain segmentor into both networks."""
        if not any(key.startswith(f'{prefix}student.') for key in state_dict):
            for key in list(state_dict):
                name = key.removeprefix(prefix)
                state_dict[f'{prefix}student.{name}'] = state_dict[key]
                state_dict[f'{prefix}teacher.module.{name}'] = state_dict.pop(
                    key)
            state_dict[f'{prefix}teacher.steps'] = self.teacher.steps
        super()._load_from_state_dict(state_dict, prefix, *args)
