"""Triplets of patches: the class-wise connected graph and its baseline.

The "match" step of `Mix-and-Match Tuning for Self-Supervised Semantic
Segmentation <https://arxiv.org/abs/1712.00661>`_. Nothing here loops over
nodes or waits for the device.
"""
from typing import NamedTuple

import torch
from torch import Tensor

from mmseg_ssl.sampling import random_integers


class ClassOrder(NamedTuple):
    """Nodes sorted by class; inside a class in the order they were visited.

    All of shape (N,), int64. ``start``, ``size`` and ``rank`` belong to the
    i-th sorted node.
    """

    nodes: Tensor  # which node stands at a sorted place
    start: Tensor  # sorted place at which the class begins
    size: Tensor  # nodes in the class
    rank: Tensor  # nodes of the class that were visited before


def _sort_by_class(labels: Tensor) -> ClassOrder:
    sorted_labels, nodes = labels.sort(stable=True)
    start = torch.searchsorted(sorted_labels, sorted_labels)
    end = torch.searchsorted(sorted_labels, sorted_labels, right=True)
    place = torch.arange(len(labels), device=labels.device)
    return ClassOrder(nodes, start, end - start, place - start)


def _other_class(order: ClassOrder, index: Tensor) -> Tensor:
    """Find the visiting time of the index-th node of another class.

    The nodes of another class keep their order when those of the own class
    are struck out: the j-th of them was visited at time j + m if m nodes of
    the own class came before. The k-th node of the own class, visited at time
    t_k, came before if t_k - k <= j, and t_k - k never falls with k: a binary
    search inside the class gives m.

    Args:
        order (ClassOrder): Nodes numbered by their visiting time.
        index (Tensor): Numbers among the nodes of other classes, shape (N,),
            int64, for the sorted nodes.

    Returns:
        Tensor: Visiting times, shape (N,), int64.
    """
    # One ascending key for all classes: t_k - k is below N.
    first_key = order.start * (len(index) + 1)
    own_before = torch.searchsorted(
        first_key + order.nodes - order.rank, first_key + index, right=True)
    return index + own_before - order.start


def _check_labels(labels: Tensor) -> None:
    if labels.dim() != 1:
        raise ValueError('labels must hold one class per node, shape (N,), '
                         f'but got shape {tuple(labels.shape)}')


def class_connected_triplets(
        labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw one triplet per node so that every class is connected.

    Nodes are visited in random order. Each is joined to a random earlier node
    of its class (positive) and to a random earlier node of another class
    (negative). A node that finds none takes a random one among all nodes;
    a node whose class is unique is its own positive. Hence the edges to the
    positives make one connected component of each class.

    Takes O(N log N) time.

    Args:
        labels (Tensor): Class of each node, shape (N,), any integers.
        generator (torch.Generator, optional): Source of randomness, on the
            device of ``labels``.

    Returns:
        Tensor: Shape (N, 3), int64. Columns anchor, positive, negative; rows
        in visiting order, every node once as anchor. Negatives are -1 when
        there is no other class.
    """
    _check_labels(labels)
    num_nodes = len(labels)
    visited = torch.randperm(
        num_nodes, device=labels.device, generator=generator)
    order = _sort_by_class(labels[visited])

    is_first = order.rank == 0
    choices = torch.where(is_first, order.size - 1, order.rank)
    # The first of a class may take any but itself; a unique one stays itself.
    skip_itself = is_first & (order.size > 1)
    positive = order.nodes[order.start + skip_itself +
                           random_integers(choices, generator)]

    earlier = order.nodes - order.rank  # of other classes
    others = num_nodes - order.size
    choices = torch.where(earlier > 0, earlier, others)
    negative = _other_class(order, random_integers(choices, generator))

    triplets = labels.new_empty((num_nodes, 3), dtype=torch.int64)
    triplets[:, 0] = visited
    triplets[order.nodes, 1] = visited[positive]
    triplets[order.nodes, 2] = torch.where(
        others > 0, visited[negative.clamp(max=num_nodes - 1)], -1)
    return triplets


def random_triplets(
        labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw as many triplets as nodes, independently (the paper's baseline).

    Anchors are drawn with replacement, positives from the other nodes of the
    anchor's class (a unique node is its own positive) and negatives from all
    nodes of other classes, all uniformly. Nothing connects a class.

    Args:
        labels (Tensor): Class of each node, shape (N,), any integers.
        generator (torch.Generator, optional): Source of randomness, on the
            device of ``labels``.

    Returns:
        Tensor: Shape (N, 3), int64. Columns anchor, positive, negative; -1 in
        place of a negative when there is no other class.
    """
    _check_labels(labels)
    num_nodes = len(labels)
    nodes, start, count, _ = _sort_by_class(labels)
    anchor = random_integers(
        torch.full_like(start, num_nodes), generator)  # sorted places
    start, count = start[anchor], count[anchor]

    positive = start + random_integers(count - 1, generator)
    positive += (positive >= anchor) & (count > 1)
    negative = random_integers(num_nodes - count, generator)
    negative += torch.where(negative >= start, count, 0)
    negative = torch.where(
        count < num_nodes, nodes[negative.clamp(max=num_nodes - 1)], -1)
    return torch.stack([nodes[anchor], nodes[positive], negative], dim=1)
