"""Lloyd's passes that look only at points which may change their cluster."""
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_ssl.clustering.cluster_statistics import (
    ClusterStatistics,
    group_by_cluster,
)
from mmseg_ssl.clustering.nearest import (
    CentroidSearch,
    best_of,
    find_origin,
)

# Of the lengths that bounds add up over the passes.
ROUNDING = 1e-5


@dataclass
class _Shard:
    """Points, and what is known of each."""

    points: Tensor
    """Shape (n, D), on any device, of any floating type."""
    labels: Tensor
    """Cluster, shape (n,)."""
    upper: Tensor
    """At least the distance to its centroid, shape (n,)."""
    lower: Tensor
    """At most the distance to any other centroid, shape (n,)."""
    norms: Tensor
    """Length as seen from the origin, shape (n,)."""


class BoundedAssignment:
    """Assign points in memory to centroids that move from pass to pass.

    `Making k-means even faster <https://doi.org/10.1137/1.9781611972801.12>`_
    (Hamerly, 2010): the distance of a point to its centroid has an upper
    bound, that to all others a lower one, and both are widened by what the
    centroids move. A point keeps its cluster unseen as long as they do not
    meet, and sums are changed by the points that change cluster. Clusters are
    those of full passes; sums and inertia too, up to rounding.

    Takes 20 bytes a point.

    Args:
        shards (Sequence[Tensor]): Points, each of shape (n, D), n may be 0.
        metric (str): 'cosine' or 'euclidean'.
        chunk_rows (int): Points that are looked at together.
    """

    def __init__(self, shards: Sequence[Tensor], metric: str,
                 chunk_rows: int) -> None:
        self.points = shards
        self.metric = metric
        self.chunk_rows = chunk_rows
        self.shards: list[_Shard] = []
        self.previous: Tensor | None = None
        self.origin: Tensor | None = None

    def statistics(self, centroids: Tensor) -> ClusterStatistics:
        """Assign all points.

        Args:
            centroids (Tensor): Shape (K, D); of length 1 for 'cosine'.

        Returns:
            ClusterStatistics: Of the points and these centroids.
        """
        if self.previous is None:
            self.origin = find_origin(centroids, self.metric)
            search = CentroidSearch(centroids, self.metric, self.origin)
            self._begin(search)
        else:
            search = CentroidSearch(centroids, self.metric, self.origin)
            shifts = torch.linalg.vector_norm(
                centroids - self.previous, dim=1)
            for shard in self.shards:
                for rows in self._doubtful(shard, shifts):
                    self._look_again(shard, rows, search)
        self.previous = centroids.clone()
        return self._summary(search)

    def _begin(self, search: CentroidSearch) -> None:
        """Look at all points for the first time."""
        self.sums = torch.zeros_like(search.centres, dtype=torch.float64)
        self.counts = self.sums.new_zeros(len(self.sums))
        self.squared_norms = self.sums.new_zeros(())
        for points in self.points:
            empty = search.centres.new_empty(len(points))
            shard = _Shard(points, torch.empty_like(empty, dtype=torch.int64),
                           empty, empty.clone(), empty.clone())
            self.shards.append(shard)
            for rows in self._chunks(len(points)):
                x = search.place(points[rows].to(search.centres))
                shard.norms[rows] = torch.linalg.vector_norm(x, dim=1)
                shard.labels[rows] = labels = self._bound(
                    shard, rows, x, search)
                self._add(x, torch.arange(len(x)), labels,
                          search.weights(shard.norms[rows]))
            lengths = shard.norms > 0 if search.cosine else shard.norms
            self.squared_norms += lengths.double().square().sum()

    def _chunks(self, num: int) -> list[slice]:
        """Cut rows into chunks."""
        return [slice(start, min(start + self.chunk_rows, num))
                for start in range(0, num, self.chunk_rows)]

    def _doubtful(self, shard: _Shard,
                  shifts: Tensor) -> list[slice] | tuple[Tensor, ...]:
        """Widen the bounds; chunks of the points whose bounds meet."""
        shard.upper += shifts[shard.labels]
        shard.lower -= shifts.max()
        rows = (shard.upper * (1 + ROUNDING) >= shard.lower).nonzero()
        if 2 * len(rows) > len(shard.points):
            # a copy of so many rows takes longer than to look at all
            return self._chunks(len(shard.points))
        return rows.flatten().split(self.chunk_rows) if len(rows) else ()

    def _look_again(self, shard: _Shard, rows: slice | Tensor,
                    search: CentroidSearch) -> None:
        """Assign some points, and take note of those that change cluster."""
        x = search.place(shard.points[rows].to(search.centres))
        labels = self._bound(shard, rows, x, search)
        before = shard.labels[rows]
        changed = (labels != before).nonzero().flatten()
        if len(changed) == 0:
            return
        weights = search.weights(shard.norms[rows])
        self._add(x, changed, labels[changed], weights)
        self._add(x, changed, before[changed], weights, sign=-1)
        shard.labels[rows] = labels

    def _bound(self, shard: _Shard, rows: slice | Tensor, x: Tensor,
               search: CentroidSearch) -> Tensor:
        """Find the nearest and the second nearest centroid.

        Args:
            shard (_Shard): Gets the bounds.
            rows (slice | Tensor): Which of its points.
            x (Tensor): These points, placed, shape (n, D).
            search (CentroidSearch): The centroids.

        Returns:
            Tensor: Clusters, shape (n,).
        """
        scores = search.scores(x)
        best, labels = best_of(scores)
        scores.scatter_(0, labels.unsqueeze(0), -torch.inf)
        norms = shard.norms[rows]
        slack = search.rounding(norms)
        shard.upper[rows] = search.squared_distances(best, norms).add_(
            slack).clamp_(min=0).sqrt_()
        shard.lower[rows] = search.squared_distances(
            scores.amax(dim=0), norms).sub_(slack).clamp_(min=0).sqrt_()
        return labels

    def _add(self, x: Tensor, rows: Tensor, labels: Tensor,
             weights: Tensor | None, sign: int = 1) -> None:
        """Add points to clusters, or take them away.

        Args:
            x (Tensor): Placed points, shape (n, D).
            rows (Tensor): Which of them, shape (m,).
            labels (Tensor): Clusters of these, shape (m,).
            weights (Tensor, optional): Of all of them, shape (n,).
            sign (int): 1 or -1.
        """
        num = len(self.counts)
        order, starts = group_by_cluster(labels, num)
        rows = rows[order]
        # which copies no point
        sums = F.embedding_bag(
            rows, x, starts, mode='sum',
            per_sample_weights=None if weights is None else weights[rows])
        self.sums.add_(sums, alpha=sign)
        self.counts.add_(labels.bincount(minlength=num), alpha=sign)

    def _summary(self, search: CentroidSearch) -> ClusterStatistics:
        """Statistics of all points, seen from 0 again."""
        sums, counts = self.sums.clone(), self.counts.clone()
        norms = self.squared_norms
        scores = ((search.centres.double() * sums).sum()
                  + search.offset.double().flatten() @ counts)
        inertia = ((2 * counts.sum() if search.cosine else norms)
                   - 2 * scores).clamp(min=0)
        if self.origin is not None:
            origin = self.origin.double()
            norms = (norms + 2 * origin @ sums.sum(dim=0)
                     + counts.sum() * origin.square().sum())
            sums += counts.unsqueeze(1) * origin
        return ClusterStatistics(sums, counts, torch.stack([norms, inertia]))
