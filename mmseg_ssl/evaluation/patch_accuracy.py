"""How many patches of jigsaw puzzles are put where they came from."""
from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS


@METRICS.register_module()
class PatchAccuracy(BaseMetric):
    """Accuracy of predicted patch positions, in percent.

    The central patch never moves, so its position is known beforehand:
    ``movable_acc`` leaves it out (chance is 1 / (N - 1)) and ``acc`` counts
    all N patches of a puzzle.

    Each data sample holds ``position`` and ``pred_position``, both of shape
    (N,), int64: the true and the predicted grid cell of each patch.

    Args:
        collect_device (str): ``'cpu'`` or ``'gpu'``, where results of several
            processes are gathered. Defaults to ``'cpu'``.
        prefix (str, optional): Put before the names of the metrics, with a
            slash. Defaults to None.
    """

    def __init__(self,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: object,
                data_samples: Sequence[dict]) -> None:
        """Keep which patches of each puzzle are right.

        Args:
            data_batch (object): Not used.
            data_samples (Sequence[dict]): With ``position`` and
                ``pred_position``.

        Raises:
            ValueError: If the two differ in shape or N is not odd.
        """
        for sample in data_samples:
            true = torch.as_tensor(sample['position'])
            predicted = torch.as_tensor(sample['pred_position'])
            if (true.shape != predicted.shape or true.dim() != 1
                    or len(true) < 3 or len(true) % 2 == 0):
                raise ValueError(
                    'position and pred_position must both have shape (N,) '
                    'with N odd and at least 3, but got '
                    f'{tuple(true.shape)} and {tuple(predicted.shape)}')
            self.results.append((true == predicted.to(true.device)).cpu())

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Average over all patches of all puzzles.

        Args:
            results (list[Tensor]): Which patches are right, shape (N,), bool.

        Returns:
            dict[str, float]: ``movable_acc`` and ``acc``, in percent.
        """
        right = torch.stack(results).double()  # (images, N)
        per_patch = 100 * right.mean(dim=0)
        centre = len(per_patch) // 2
        movable = torch.cat([per_patch[:centre], per_patch[centre + 1:]])
        return dict(
            movable_acc=movable.mean().item(), acc=per_patch.mean().item())
