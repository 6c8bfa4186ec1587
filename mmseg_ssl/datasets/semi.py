"""Labelled and unlabelled samples side by side."""
from collections.abc import Sequence

import numpy as np
from mmseg.registry import DATASETS
from torch.utils.data import Dataset


@DATASETS.register_module()
class SemiSegDataset(Dataset):
    """Pair every unlabelled sample with a randomly drawn labelled one.

    Item ``i`` is ``dict(labeled=<random labelled sample>,
    unlabeled=<unlabelled sample i>)``. A batch has as many labelled as
    unlabelled samples, and an epoch is one pass over the unlabelled images,
    however few labelled ones there are. Labelled samples are drawn uniformly
    with replacement from NumPy's global generator, which mmengine seeds in
    every worker.

    ``mmengine.dataset.pseudo_collate`` keeps the two branches apart, and
    :class:`~mmseg_ssl.datasets.SemiSegDataPreProcessor` batches each.

    Args:
        labeled (dict | Dataset): Dataset whose samples have labels.
        unlabeled (dict | Dataset): Dataset whose labels, if there are any,
            serve methods that take partial labels only.
        indices (int | Sequence[int], optional): Use the first (or, if
            negative, last) few unlabelled samples, or those at the given
            positions. Defaults to all.

    Raises:
        ValueError: No unlabelled sample is left by ``indices``.
        IndexError: A position of ``indices`` does not exist.
    """

    def __init__(self,
                 labeled: dict | Dataset,
                 unlabeled: dict | Dataset,
                 indices: int | Sequence[int] | None = None) -> None:
        self.labeled = self._build(labeled)
        self.unlabeled = self._build(unlabeled)
        # Positions in the unlabelled dataset; a range costs no memory.
        self._positions = self._select(indices)

    @staticmethod
    def _build(dataset: dict | Dataset) -> Dataset:
        if isinstance(dataset, dict):
            return DATASETS.build(dataset)
        return dataset

    def _select(self, indices: int | Sequence[int] | None) -> Sequence[int]:
        everything = range(len(self.unlabeled))
        if indices is None:
            selected: Sequence[int] = everything
        elif isinstance(indices, int):
            selected = everything[:indices] if indices >= 0 \
                else everything[indices:]
        else:
            selected = [everything[i] for i in indices]
        if not selected:
            raise ValueError(
                f'SemiSegDataset: indices={indices} leave none of the '
                f'{len(everything)} unlabelled samples')
        return selected

    @property
    def metainfo(self) -> dict:
        """Classes and palette, those of the labelled samples."""
        return self.labeled.metainfo

    def full_init(self) -> None:
        """Read what the two datasets have put off until now."""
        for dataset in (self.labeled, self.unlabeled):
            if hasattr(dataset, 'full_init'):
                dataset.full_init()

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> dict[str, dict]:
        return dict(
            labeled=self.labeled[np.random.randint(len(self.labeled))],
            unlabeled=self.unlabeled[self._positions[index]])

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(\n'
            f'  labeled={type(self.labeled).__name__} with '
            f'{len(self.labeled)} samples,\n'
            f'  unlabeled={type(self.unlabeled).__name__} with '
            f'{len(self)} of {len(self.unlabeled)} samples)')
