"""Several segmentors that predict together."""
import copy
from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, load_checkpoint
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, SampleList
from torch import Tensor, nn

from mmseg_ssl.engine.hooks.preflight_hook import (
    RefusedRun,
    check_checkpoint,
)


@MODELS.register_module()
class SegmentorEnsemble(BaseModel):
    """Average the class probabilities of several segmentors.

    The last row of Table 2 of `Mix-and-Match Tuning for Self-Supervised
    Semantic Segmentation <https://arxiv.org/abs/1712.00661>`_. The members
    may differ in all but their classes, also in how they normalise images.
    For evaluation only.

    Args:
        members (Sequence[dict]): For each member its config ``model`` and the
            path of its ``checkpoint``.

    Raises:
        RefusedRun: If members differ in their classes, or a checkpoint does
            not fit its model.
    """

    def __init__(self, members: Sequence[ConfigType]) -> None:
        super().__init__()
        self.members = nn.ModuleList()
        names = []
        for member in members:
            model = MODELS.build(member['model'])
            _check_member(model, member['checkpoint'])
            load_checkpoint(model, member['checkpoint'], map_location='cpu')
            self.members.append(model)
            names.append(member['checkpoint'])
        self._check_classes(names)

    def _check_classes(self, names: list[str]) -> None:
        """Compare numbers of classes, and their names where they are kept."""
        known = [_classes(name) for name in names]
        first = self.members[0].out_channels
        for model, name, classes in zip(self.members, names, known):
            if model.out_channels != first:
                raise RefusedRun(
                    f'an ensemble needs the same classes: {names[0]} predicts '
                    f'{first}, but {name} predicts {model.out_channels}')
            if classes and known[0] and classes != known[0]:
                raise RefusedRun(
                    f'an ensemble needs the same classes: {names[0]} was '
                    f'trained on {known[0]}, but {name} on {classes}')

    def forward(self, inputs: Tensor, data_samples: Any = None,
                mode: str = 'tensor') -> Any:
        """Not to be called: each member preprocesses images in its own way.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            'SegmentorEnsemble only evaluates, by test_step or val_step')

    def test_step(self, data: dict) -> SampleList:
        """Predict a batch as the data loader gives it.

        Args:
            data (dict): ``inputs`` and ``data_samples``.

        Returns:
            list[SegDataSample]: With ``seg_logits``, here the mean of the
            probabilities (C, H, W), and ``pred_sem_seg``.
        """
        total: list[Tensor] = []
        for model in self.members:
            samples = model.test_step(  # type: ignore[operator]
                copy.deepcopy(data))
            part = [_probabilities(s.seg_logits.data) for s in samples]
            total = [a + b for a, b in zip(total, part)] if total else part
        for sample, probability in zip(samples, total):
            mean = probability / len(self.members)
            labels = (mean.argmax(dim=0, keepdim=True) if len(mean) > 1
                      else (mean > 0.5).long())
            sample.set_data(dict(seg_logits=PixelData(data=mean),
                                 pred_sem_seg=PixelData(data=labels)))
        return samples

    def val_step(self, data: dict) -> SampleList:
        """The same as :meth:`test_step`."""
        return self.test_step(data)


def _probabilities(logits: Tensor) -> Tensor:
    """Of logits (C, H, W); a single channel is one of two classes."""
    logits = logits.float()
    return logits.softmax(dim=0) if len(logits) > 1 else logits.sigmoid()


def _check_member(model: nn.Module, checkpoint: str) -> None:
    """See whether a member can predict, before any image is read."""
    try:
        check_checkpoint(model, checkpoint, 'predict')
    except (OSError, ValueError) as error:
        raise RefusedRun(f'member of the ensemble: {error}') from error


def _classes(checkpoint: str) -> tuple[str, ...]:
    """Names of the classes a checkpoint was trained on, if it says so."""
    meta = CheckpointLoader.load_checkpoint(
        checkpoint, map_location='cpu').get('meta') or {}
    return tuple((meta.get('dataset_meta') or {}).get('classes') or ())
