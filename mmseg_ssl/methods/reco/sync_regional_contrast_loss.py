"""The ReCo loss with class means and keys of all distributed processes."""
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, broadcast, get_dist_info
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_ssl.methods.reco.regional_contrast_loss import (
    RegionalContrastLoss,
    gather_pixels,
    pixel_rows,
)


class SharedPixels(NamedTuple):
    """The labelled pixels of all processes, class after class.

    Inside a class, those of the first process come first: the order that one
    process would give to the images of all of them.
    """

    keys: Tensor  # (N, D), embeddings, no gradient
    eligible: Tensor  # (N,), bool, may be a query
    label: Tensor  # (N,)
    rank: Tensor  # (N,), whose pixel it is
    place: Tensor  # (N,), among the sorted pixels of that process


@MODELS.register_module()
class SyncRegionalContrastLoss(RegionalContrastLoss):
    """Contrast pixels with those of all distributed processes.

    The mean of the processes' losses, and of their gradients, as
    DistributedDataParallel takes it, is that of :class:`RegionalContrastLoss`
    on the images of all processes together: with the same random numbers the
    very same. ``num_queries`` counts the queries of a class over all
    processes; each process computes those that are its own pixels. Classes,
    class means and keys are those of all.

    A process receives the embeddings of all labelled pixels of the others, so
    its memory and traffic grow with their number: D numbers a pixel. One
    process alone computes the loss of the base class.

    Takes the arguments of :class:`RegionalContrastLoss`. A ``generator`` given
    to :meth:`forward` has to be in the same state in all processes; without
    one, they agree on a seed.
    """

    def _contrast(self, embedding: Tensor, label: Tensor, prob: Tensor,
                  generator: torch.Generator | None) -> Tensor:
        rank, world_size = get_dist_info()
        if world_size == 1:
            return super()._contrast(embedding, label, prob, generator)
        sorted_label, order = label.flatten().sort(stable=True)
        counts = self._class_counts(sorted_label, prob.size(1))
        order = order[:int(counts.sum())]
        # All shapes follow from these numbers, so the host reads them, once.
        all_counts = torch.stack(
            all_gather(counts.to(embedding.device))).cpu()
        present = all_counts.sum(0).nonzero().flatten()
        if len(present) < 2:
            return embedding[:0].sum()

        pixels = share_pixels(
            pixel_rows(embedding.detach()).index_select(0, order),
            self._eligible_queries(label, prob)[order], all_counts)
        counts, present = (
            x.to(embedding.device, non_blocking=True)
            for x in (all_counts.sum(0)[present], present))
        members = (pixels.label == present[:, None]).to(pixels.keys.dtype)
        means = members @ pixels.keys / counts[:, None]  # (P, D)
        queries, drawn, key_index = self._draw(
            pixels.eligible, counts, means,
            generator or shared_generator(embedding.device))

        mine = (pixels.rank[queries] == rank) & drawn[:, None]
        own = mine.flatten().nonzero().flatten()
        if not len(own):
            return embedding[:0].sum()
        per_query = self._per_query(
            gather_pixels(embedding, order[pixels.place[
                queries.flatten()[own]]]),
            means[own // self.num_queries], F.normalize(pixels.keys, dim=1),
            key_index.flatten(0, 1)[own])
        # What is averaged over processes has to add up to the mean of all.
        share = world_size / queries.numel()
        return self.loss_weight * share * per_query.sum()


def share_pixels(keys: Tensor, eligible: Tensor,
                 counts: Tensor) -> SharedPixels:
    """Gather the labelled pixels of all processes.

    Args:
        keys (Tensor): Embeddings of the own pixels, class after class, shape
            (n, D).
        eligible (Tensor): Which of them may be a query, shape (n,), bool.
        counts (Tensor): Pixels of each class in each process, shape (W, C),
            on the CPU.

    Returns:
        SharedPixels: The same in every process.
    """
    sizes = counts.sum(1).tolist()
    # Collectives want one size everywhere.
    padded = keys.new_zeros(max(sizes), keys.size(1) + 1)
    padded[:len(keys), :-1] = keys
    padded[:len(keys), -1] = eligible
    gathered = torch.cat([
        rows[:size] for rows, size in zip(all_gather(padded), sizes)])

    classes = torch.arange(counts.size(1)).repeat(len(sizes))
    label = classes.repeat_interleave(counts.flatten())
    rank = torch.arange(len(sizes)).repeat_interleave(counts.sum(1))
    place = torch.cat([torch.arange(size) for size in sizes])
    label, order = label.sort(stable=True)
    order, label, rank, place = (
        x.to(keys.device, non_blocking=True)
        for x in (order, label, rank[order], place[order]))
    gathered = gathered.index_select(0, order)
    return SharedPixels(gathered[:, :-1], gathered[:, -1] > 0, label, rank,
                        place)


def shared_generator(device: torch.device) -> torch.Generator:
    """A generator in the same state in every process.

    The first process draws its seed from the global generator, so a resumed
    run draws the same.
    """
    seed = torch.randint(2**62, (1, ), device=device)
    broadcast(seed)
    return torch.Generator(device).manual_seed(int(seed.item()))
