"""Batches of labelled and unlabelled samples on the model's device."""
from typing import Any

from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS


@MODELS.register_module()
class SemiSegDataPreProcessor(SegDataPreProcessor):
    """Normalise, pad and stack each branch of a batch.

    Takes the same arguments as
    :class:`mmseg.models.SegDataPreProcessor` and treats an ordinary batch
    like it, so that one model trains on pairs and predicts on images.
    """

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Process a batch.

        Args:
            data (dict): ``{branch: {'inputs': [...], 'data_samples':
                [...]}}`` as collated from
                :class:`~mmseg_ssl.datasets.SemiSegDataset`, or an ordinary
                batch ``{'inputs': [...], 'data_samples': [...]}``.
            training (bool): Whether to pad and augment as for training.
                Defaults to False.

        Returns:
            dict: ``{'inputs': {branch: Tensor (B, 3, H, W)}, 'data_samples':
            {branch: list}}``, or without branches for an ordinary batch.
        """
        if 'inputs' in data:
            return super().forward(data, training)
        branches = {
            name: super(SemiSegDataPreProcessor, self).forward(
                branch, training) for name, branch in data.items()
        }
        return {
            key: {name: branch[key] for name, branch in branches.items()}
            for key in ('inputs', 'data_samples')
        }
