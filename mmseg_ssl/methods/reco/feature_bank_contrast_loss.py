"""The ReCo loss with keys from a bank of features of earlier batches."""
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_ssl.methods.reco.regional_contrast_loss import (
    RegionalContrastLoss,
    gather_pixels,
    pixel_rows,
    relation_distribution,
    sample_keys,
    sample_queries,
    uniform_distribution,
)


@MODELS.register_module()
class FeatureBankContrastLoss(RegionalContrastLoss):
    """Contrast the pixels of a batch with those of earlier batches, too.

    The variant that section 4.4 of `Bootstrapping Semantic Segmentation with
    Regional Contrast <https://arxiv.org/abs/2104.04465>`_ compares its
    batch-wise sampling with. Each class has a queue of embeddings. A batch
    first stores some of its own, drawn at random; then class means, class
    relations and negative keys come from all queues, so that classes which the
    batch does not show serve as negatives. Queries are pixels of the batch.

    The queues are buffers: they are saved and resumed with the model. In a
    distributed training each process has its own, and the checkpoint those of
    the first process. The paper gives no sizes.

    Args:
        num_classes (int): Number of classes, C.
        embed_channels (int): Channels of the embedding, D.
        bank_size (int): Embeddings that the queue of a class holds, S.
            Defaults to 2048.
        num_stored (int): Embeddings of each class that a batch stores, at
            most. Defaults to 256.
        **kwargs: Arguments of :class:`RegionalContrastLoss`.

    Raises:
        ValueError: ``num_stored`` is below 1 or above ``bank_size``.
    """

    bank: Tensor  # (C, S, D)
    num_seen: Tensor  # (C,)

    def __init__(self,
                 num_classes: int,
                 embed_channels: int,
                 bank_size: int = 2048,
                 num_stored: int = 256,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 1 <= num_stored <= bank_size:
            raise ValueError(
                'num_stored must be from 1 to bank_size, but got '
                f'{num_stored} and {bank_size}')
        self.num_stored = num_stored
        self.register_buffer(
            'bank', torch.zeros(num_classes, bank_size, embed_channels))
        # Embeddings ever stored, of each class.
        self.register_buffer(
            'num_seen', torch.zeros(num_classes, dtype=torch.long))

    def _contrast(self, embedding: Tensor, label: Tensor, prob: Tensor,
                  generator: torch.Generator | None) -> Tensor:
        self.check_sizes(prob.size(1), embedding.size(1))
        sorted_label, order = label.flatten().sort(stable=True)
        counts = self._class_counts(sorted_label, prob.size(1))
        order = order[:int(counts.sum())]
        self.store(pixel_rows(embedding.detach()).index_select(0, order),
                   counts, generator)
        classes = counts.nonzero().flatten()
        if len(classes) < 2:
            return embedding[:0].sum()
        counts, classes = (
            x.to(embedding.device, non_blocking=True)
            for x in (counts[classes], classes))

        bank = self.bank.to(embedding.dtype)
        filled = self.num_seen.clamp(max=bank.size(1))
        means = bank.sum(1) / filled.clamp(min=1)[:, None]  # (C, D)
        query_index, num_eligible = sample_queries(
            self._eligible_queries(label, prob)[order], counts,
            self.num_queries, generator)
        key_index = sample_keys(
            self._key_distribution(means, filled)[classes], filled,
            self.num_queries, self.num_keys, generator)
        per_query = self._per_query(
            gather_pixels(embedding, order[query_index.flatten()]),
            means[classes].repeat_interleave(self.num_queries, dim=0),
            F.normalize(bank.flatten(0, 1), dim=1),
            self._rows_in_bank(key_index, filled).flatten(0, 1))
        per_class = per_query.view_as(query_index).mean(dim=1)
        per_class = torch.where(num_eligible > 0, per_class, 0)
        return self.loss_weight * per_class.mean()

    @torch.no_grad()
    def store(self, keys: Tensor, counts: Tensor,
              generator: torch.Generator | None = None) -> None:
        """Put some embeddings of each class into its queue.

        Where a class has more than ``num_stored``, they are drawn without
        replacement. A full queue forgets its oldest embeddings.

        Args:
            keys (Tensor): Embeddings, class after class, shape (N, D).
            counts (Tensor): How many each class has, shape (C,), on the CPU.
            generator (torch.Generator, optional): Source of randomness.
        """
        device = keys.device
        taken = counts.clamp(max=self.num_stored)
        classes = torch.arange(len(counts)).repeat_interleave(taken)
        # Number of each stored embedding inside its class.
        place = torch.arange(len(classes)) - (
            taken.cumsum(0) - taken)[classes]
        rows = (counts.cumsum(0) - counts)[classes] + place
        classes, place, rows, taken = (
            x.to(device, non_blocking=True)
            for x in (classes, place, rows, taken))
        if int(counts.max()) > self.num_stored:
            rows = self._shuffled(counts, device, generator)[rows]
        slots = (self.num_seen[classes] + place) % self.bank.size(1)
        # What overflowed would spoil all batches until it is forgotten.
        keys = keys[rows].to(self.bank.dtype).nan_to_num(0, 0, 0)
        self.bank[classes, slots] = keys
        self.num_seen += taken

    @staticmethod
    def _shuffled(counts: Tensor, device: torch.device,
                  generator: torch.Generator | None) -> Tensor:
        """Numbers 0 to N - 1, in random order inside each class, (N,).

        Args:
            counts (Tensor): How many each class has, shape (C,), on the CPU.
            device (torch.device): Of the result.
            generator (torch.Generator, optional): Source of randomness.
        """
        label = torch.arange(len(counts)).repeat_interleave(counts)
        label = label.to(device, non_blocking=True)
        order = torch.rand(
            len(label), device=device, generator=generator).argsort()
        return order[label[order].argsort(stable=True)]

    def _key_distribution(self, means: Tensor, filled: Tensor) -> Tensor:
        """How often each class is drawn for each query class, (C, C)."""
        if self.key_sampling == 'random':
            return uniform_distribution(filled)
        distribution = relation_distribution(means, self.temperature)
        distribution = distribution * (filled > 0)
        return distribution / distribution.sum(
            dim=1, keepdim=True).clamp(min=torch.finfo(means.dtype).tiny)

    def _rows_in_bank(self, index: Tensor, filled: Tensor) -> Tensor:
        """Where the n-th stored embedding of all classes is in the bank.

        Args:
            index (Tensor): Numbers of stored embeddings, class after class.
            filled (Tensor): Stored embeddings of each class, shape (C,).

        Returns:
            Tensor: Rows of the bank as (C*S, D), shape of ``index``.
        """
        ends = filled.cumsum(0)
        classes = torch.searchsorted(ends, index, right=True)
        first = ends - filled
        return index - first[classes] + classes * self.bank.size(1)

    def check_sizes(self, num_classes: int, embed_channels: int) -> None:
        """Refuse a network that the bank is not made for.

        Args:
            num_classes (int): Channels of the probabilities.
            embed_channels (int): Channels of the embedding.

        Raises:
            ValueError: The bank has other sizes.
        """
        found = num_classes, embed_channels
        expected = self.bank.size(0), self.bank.size(2)
        if found != expected:
            raise ValueError(
                f'the bank is for {expected[0]} classes and embeddings of '
                f'{expected[1]} channels, but got {found[0]} and {found[1]}; '
                'set num_classes and embed_channels of the loss')
