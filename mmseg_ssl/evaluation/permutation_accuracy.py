"""How many jigsaw puzzles are told from all others of a fixed set."""
from collections.abc import Sequence

from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS


@METRICS.register_module()
class PermutationAccuracy(BaseMetric):
    """Share of puzzles whose permutation is predicted, in percent.

    Chance is 1 / P for a set of P permutations. Each data sample holds
    ``permutation`` and ``pred_permutation``, class numbers.

    Args:
        collect_device (str): ``'cpu'`` or ``'gpu'``, where results of several
            processes are gathered. Defaults to ``'cpu'``.
        prefix (str, optional): Put before the name of the metric, with a
            slash. Defaults to None.
    """

    def __init__(self,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: object,
                data_samples: Sequence[dict]) -> None:
        """Keep which puzzles are right; ``data_batch`` is not used."""
        self.results += [
            int(sample['permutation']) == int(sample['pred_permutation'])
            for sample in data_samples
        ]

    def compute_metrics(self, results: list[bool]) -> dict[str, float]:
        """Average over all puzzles, as ``permutation_acc``."""
        return dict(permutation_acc=100 * sum(results) / len(results))
