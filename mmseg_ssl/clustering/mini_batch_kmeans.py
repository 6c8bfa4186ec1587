"""K-means for data that are too many for one process or one batch."""
import logging
from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from mmengine.dist import (
    all_gather,
    all_reduce,
    broadcast,
    get_rank,
    is_main_process,
)
from mmengine.logging import print_log
from mmengine.utils import ProgressBar
from torch import Tensor, nn

from mmseg_ssl.clustering.bounded_assignment import BoundedAssignment
from mmseg_ssl.clustering.cluster_statistics import (
    ClusterStatistics,
    sum_by_cluster,
)
from mmseg_ssl.clustering.nearest import CentroidSearch, find_origin
from mmseg_ssl.clustering.seeding import distinct_integers, kmeans_plusplus

METRICS = ('cosine', 'euclidean')
INITS = ('k-means++', 'sample')

# A chunk of points and of their similarities bounds the memory; it should be
# large enough to hide the start of threads, or of kernels on an accelerator.
CHUNK_BYTES = 2**25


class MiniBatchKMeans(nn.Module):
    """K-means over shards, over batches and over processes.

    ``fit`` is Lloyd's algorithm over a tensor or an iterable of tensors
    (shards), which are read once an iteration and never gathered.
    ``partial_fit`` takes one batch at a time as in `Web-Scale K-Means
    Clustering <https://doi.org/10.1145/1772690.1772862>`_: a centre moves
    towards the mean of its n_k points of the batch with the learning rate
    ``n_k / count_k``, where ``count_k`` are all its points so far, this batch
    included; so it stays the mean of all points it was ever given. It goes on
    from the counts of ``fit``.

    With ``torch.distributed``, each process hands in its own points, as many
    as it has. Every process ends with the same centroids, those of one
    process on the points of rank 0, rank 1, ... one after the other, up to
    rounding. Extra memory is a chunk of points, a few megabytes on a CPU,
    and ``init_size`` points for the start. Shards may lie on
    another device and have another floating type than the centroids.

    On a CPU, ``fit`` keeps 20 bytes for each point of a tensor or a list of
    tensors, which are in memory anyway, and so spares most of the work
    (:class:`BoundedAssignment`). Other iterables are read from start to end
    in each iteration, and nothing is kept.

    Start: ``init_size`` points drawn from all are seeded ``n_init`` times. If
    that is more than once, each seeding is refined by Lloyd's algorithm on
    these points, and the fit starts from the one of the smallest inertia.

    Empty clusters: in ``fit``, a cluster that lost all points takes the point
    that lies farthest from its own centre (of all processes; the first of
    equals), which leaves its cluster; several take the farthest, the second
    farthest, ... A point that is alone in its cluster, or at its centre,
    stays; if no other is left (there are fewer distinct points than
    clusters), the centre keeps its place and a warning is logged. In
    ``partial_fit`` a centre without points keeps its place.

    Args:
        num_clusters (int): Number of clusters, K.
        dim (int): Dimensions of a point, D.
        metric (str): 'cosine': points and centroids are normalised to length
            1 (spherical K-means; of a vector of zeros the cosine is 0), or
            'euclidean'. Defaults to 'cosine'.
        init (str | Tensor): 'k-means++' (greedy), 'sample' (random points),
            or the centres to start from, shape (K, D).
            Defaults to 'k-means++'.
        n_init (int): How many seedings to try; has no meaning with given
            centres. Defaults to 3.
        max_iters (int): Most iterations of ``fit``. Defaults to 100.
        tol (float): ``fit`` stops when the squared shifts of the centroids
            sum to at most ``tol`` times the mean variance of the dimensions,
            as in scikit-learn. Defaults to 1e-4.
        init_size (int, optional): Points used for the start. Defaults to
            ``max(256 * num_clusters, 16384)``.

    Attributes:
        centroids (Tensor): Shape (K, D); of length 1 for 'cosine'.
        counts (Tensor): Points of each cluster, shape (K,), int64: of the
            last iteration of ``fit``, plus those of ``partial_fit`` since.
        inertia (float): Sum of squared distances to the nearest centroid in
            the last iteration of ``fit``, before the centroids moved;
            for 'cosine' of normalised points, that is 2 (1 - cosine).
        num_iters (int): Iterations of the last ``fit``.
    """

    centroids: Tensor
    counts: Tensor
    sums: Tensor
    given: Tensor | None
    initialized: Tensor

    def __init__(self,
                 num_clusters: int,
                 dim: int,
                 metric: str = 'cosine',
                 init: str | Tensor = 'k-means++',
                 n_init: int = 3,
                 max_iters: int = 100,
                 tol: float = 1e-4,
                 init_size: int | None = None) -> None:
        super().__init__()
        if metric not in METRICS:
            raise ValueError(
                f'metric must be one of {METRICS}, not {metric!r}')
        if num_clusters < 1 or dim < 1 or n_init < 1 or max_iters < 1:
            raise ValueError(
                'num_clusters, dim, n_init and max_iters must be at least 1, '
                f'not {num_clusters}, {dim}, {n_init} and {max_iters}')
        if init_size is None:
            init_size = max(256 * num_clusters, 16384)
        if init_size < num_clusters:
            raise ValueError(f'init_size={init_size} points cannot seed '
                             f'num_clusters={num_clusters} clusters')
        self.num_clusters = num_clusters
        self.dim = dim
        self.metric = metric
        self.init = 'given' if isinstance(init, Tensor) else init
        self.n_init = n_init
        self.max_iters = max_iters
        self.tol = tol
        self.init_size = init_size
        self.inertia = float('nan')
        self.num_iters = 0
        self.register_buffer('centroids', torch.zeros(num_clusters, dim))
        self.register_buffer(
            'counts', torch.zeros(num_clusters, dtype=torch.int64))
        # the counts' points; float64 so that millions of batches add up
        self.register_buffer(
            'sums', torch.zeros(num_clusters, dim, dtype=torch.float64))
        self.register_buffer('initialized', torch.tensor(False))
        self.register_buffer('given', None, persistent=False)
        if isinstance(init, Tensor):
            self._give(init)
        elif init not in INITS:
            raise ValueError(
                f'init must be one of {INITS} or a tensor, not {init!r}')

    def _give(self, centres: Tensor) -> None:
        """Start from these centres, shape (K, D)."""
        if centres.shape != self.centroids.shape:
            raise ValueError(
                'the centres given as init must have the shape '
                f'{tuple(self.centroids.shape)} (num_clusters, dim), not '
                f'{tuple(centres.shape)}')
        if not centres.isfinite().all():
            raise ValueError('the centres given as init hold NaN or infinity')
        centres = centres.detach().to(self.centroids)
        self.given = F.normalize(centres) if self.metric == 'cosine' \
            else centres.clone()
        self.centroids.copy_(self.given)
        self.initialized.fill_(True)

    def extra_repr(self) -> str:
        """Describe the clustering in ``repr``."""
        return (f'{self.num_clusters}, {self.dim}, metric={self.metric!r}, '
                f'init={self.init!r}')

    @torch.no_grad()
    def fit(self,
            x: Tensor | Iterable[Tensor],
            generator: torch.Generator | None = None,
            progress: bool = False) -> 'MiniBatchKMeans':
        """Run Lloyd's algorithm from a new start until nothing moves.

        Args:
            x (Tensor | Iterable[Tensor]): Points of this process, shape (N,
                D), or shards of such a shape. An iterable must yield the same
                shards in the same order each time it is iterated.
            generator (torch.Generator, optional): Source of randomness; that
                of rank 0 counts.
            progress (bool): Show a progress bar of the iterations.

        Returns:
            MiniBatchKMeans: This object.

        Raises:
            TypeError: If ``x`` can be iterated only once.
            ValueError: If points have the wrong shape, are not finite, or are
                fewer than clusters.
        """
        shards = [x] if isinstance(x, Tensor) else x
        if isinstance(shards, Iterator):
            raise TypeError(
                'fit reads the points once an iteration: x must be a tensor, '
                'a list of tensors or an object that can be iterated again '
                f'and again, not a {type(x).__name__}')
        if self.given is not None:
            self._survey(shards)
            self.centroids.copy_(self.given)
        else:
            self.centroids.copy_(self._seed(shards, generator))
        bar = (ProgressBar(self.max_iters)
               if progress and is_main_process() else None)
        statistics = self._lloyd(shards, distributed=True, bar=bar)
        if bar is not None:
            bar.file.write('\n')
        self.sums.copy_(statistics.sums)
        self.counts.copy_(statistics.counts)
        self.inertia = statistics.inertia
        self.initialized.fill_(True)
        self._report(statistics)
        return self

    @torch.no_grad()
    def partial_fit(
            self,
            x: Tensor,
            generator: torch.Generator | None = None) -> 'MiniBatchKMeans':
        """Move the centroids towards the points of a batch.

        The first call finds its start in the batch itself, unless there are
        given centres or ``fit`` was called before.

        Args:
            x (Tensor): Points of this process, shape (n, D); n may be 0.
            generator (torch.Generator, optional): Source of randomness of a
                start; that of rank 0 counts.

        Returns:
            MiniBatchKMeans: This object.

        Raises:
            ValueError: If points have the wrong shape or are not finite, or
                if the first batch has fewer of them than there are clusters.
        """
        if self.initialized:
            self._survey([x], least=0)
        else:
            self.centroids.copy_(self._seed([x], generator))
            self.initialized.fill_(True)
        statistics = self._statistics([x]).all_reduce()
        self.sums += statistics.sums
        self.counts += statistics.counts.long()
        self._move(self.sums, self.counts)
        return self

    @torch.no_grad()
    def assign(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Find the nearest centroid of each point.

        Args:
            x (Tensor): Points, shape (n, D).

        Returns:
            tuple[Tensor, Tensor]: Clusters, shape (n,), int64, and how
            similar the points are to their centroids, shape (n,): the cosine,
            or the negative squared Euclidean distance. Both lie on the device
            of the centroids.

        Raises:
            RuntimeError: If there are no centroids yet.
            ValueError: If ``x`` has the wrong shape.
        """
        if not self.initialized:
            raise RuntimeError(
                'there are no centroids yet: call fit or partial_fit, give '
                'centres as init, or load a state')
        labels = self.counts.new_empty(len(x))
        similarity = self.centroids.new_empty(len(x))
        start = 0
        search = self._search()
        for chunk in self._chunks([x]):
            rows = slice(start, start + len(chunk))
            labels[rows], distance, _ = search.nearest(chunk)
            similarity[rows] = (1 - distance / 2 if self.metric == 'cosine'
                                else -distance)
            start += len(chunk)
        return labels, similarity

    def _chunk_rows(self) -> int:
        """Points of a chunk."""
        row_bytes = (self.dim + self.num_clusters) * \
            self.centroids.element_size()
        return max(1, CHUNK_BYTES // row_bytes)

    def _chunks(self, shards: Iterable[Tensor]) -> Iterator[Tensor]:
        """Cut shards into chunks, shape (n, D), like the centroids."""
        rows = self._chunk_rows()
        for shard in shards:
            if shard.ndim != 2 or shard.size(1) != self.dim:
                raise ValueError(
                    f'points must have the shape (n, {self.dim}), not '
                    f'{tuple(shard.shape)}')
            for chunk in shard.split(rows) if len(shard) else ():
                yield chunk.to(self.centroids)

    def _survey(self, shards: Iterable[Tensor],
                least: int | None = None) -> tuple[int, int]:
        """Check the points of all processes before anything is changed.

        Args:
            shards (Iterable[Tensor]): Points of this process.
            least (int, optional): Points needed in all processes together.
                Defaults to the number of clusters.

        Returns:
            tuple[int, int]: Number of points of all processes, and of the
            ranks before this one.
        """
        num, bad = 0, -1
        for chunk in self._chunks(shards):
            if bad < 0 and not torch.linalg.vector_norm(chunk).isfinite():
                finite = chunk.isfinite().all(dim=1)
                bad = num + int(finite.long().argmin())
            num += len(chunk)
        # all processes learn of an error, so that none waits for another
        surveys = torch.stack(all_gather(torch.tensor([num, bad]))).tolist()
        for rank, (_, row) in enumerate(surveys):
            if row >= 0:
                raise ValueError(
                    f'point {row} of rank {rank} holds NaN, infinity or '
                    'values whose squares overflow: K-means needs finite '
                    'features')
        nums = [survey[0] for survey in surveys]
        least = self.num_clusters if least is None else least
        if sum(nums) < least:
            raise ValueError(
                f'{sum(nums)} points (of all {len(nums)} processes) are fewer '
                f'than num_clusters={self.num_clusters}: lower num_clusters '
                'or hand in more points')
        return sum(nums), sum(nums[:get_rank()])

    def _seed(self, shards: Iterable[Tensor],
              generator: torch.Generator | None) -> Tensor:
        """Find centres to start from, the same in all processes, (K, D)."""
        sample = self._sample(shards, generator)
        centres = torch.zeros_like(self.centroids)
        if is_main_process():
            best = float('inf')
            for _ in range(self.n_init):
                trial = self._seed_once(sample, generator)
                if self.n_init == 1:
                    centres = trial.centroids
                    break
                inertia = trial._lloyd([sample], distributed=False).inertia
                if inertia < best:
                    best, centres = inertia, trial.centroids
        broadcast(centres)
        return centres

    def _seed_once(self, sample: Tensor,
                   generator: torch.Generator | None) -> 'MiniBatchKMeans':
        """Return a clustering that starts from a seeding of its own."""
        if self.metric == 'cosine':
            sample = F.normalize(sample)
        if self.init == 'k-means++':
            centres = kmeans_plusplus(sample, self.num_clusters, generator)
        else:
            rows = distinct_integers(
                len(sample), self.num_clusters, generator)
            centres = sample[rows.to(sample.device)]
        trial = MiniBatchKMeans(
            self.num_clusters, self.dim, self.metric, max_iters=self.max_iters,
            tol=self.tol, init_size=self.init_size).to(centres)
        trial.centroids.copy_(centres)
        return trial

    def _sample(self, shards: Iterable[Tensor],
                generator: torch.Generator | None) -> Tensor:
        """Draw ``init_size`` points of all processes, without replacement.

        Returns:
            Tensor: Shape (min(init_size, N), D), the same in all processes.
        """
        total, start = self._survey(shards)
        index = distinct_integers(total, self.init_size, generator)
        index = index.to(self.centroids.device)
        broadcast(index)
        sample = self.centroids.new_zeros(len(index), self.dim)
        for chunk in self._chunks(shards):
            mine = (index >= start) & (index < start + len(chunk))
            sample[mine] = chunk[index[mine] - start]
            start += len(chunk)
        all_reduce(sample)
        return sample

    def _lloyd(self, shards: Iterable[Tensor], distributed: bool,
               bar: ProgressBar | None = None) -> ClusterStatistics:
        """Move the centroids until they rest.

        Returns:
            ClusterStatistics: Of the last pass; the centroids are its means.
        """
        assign = self._statistics_of(shards)
        for iteration in range(self.max_iters):
            statistics = assign()
            if distributed:
                statistics = statistics.all_reduce()
            if (statistics.counts == 0).any():
                statistics.relocate(*self._farthest(shards, distributed))
            shift = self._move(statistics.sums, statistics.counts)
            self.num_iters = iteration + 1
            if bar is not None:
                bar.update()
            if shift <= self.tol * statistics.mean_variance:
                break
        return statistics

    def _statistics_of(
            self,
            shards: Iterable[Tensor]) -> Callable[[], ClusterStatistics]:
        """What assigns the points of this process, again and again."""
        # bounds need to be looked at, for which an accelerator would wait
        if (isinstance(shards, (list, tuple))
                and self.centroids.device.type == 'cpu'):
            bounded = BoundedAssignment(
                shards, self.metric, self._chunk_rows())
            return lambda: bounded.statistics(self.centroids)
        return lambda: self._statistics(shards)

    def _search(self) -> CentroidSearch:
        """Make the centroids ready for being searched."""
        return CentroidSearch(self.centroids, self.metric,
                              find_origin(self.centroids, self.metric))

    def _statistics(self, shards: Iterable[Tensor]) -> ClusterStatistics:
        """Assign the points of this process to the centroids, and sum up."""
        statistics = ClusterStatistics.zeros(self.centroids)
        search = self._search()
        for chunk in self._chunks(shards):
            labels, distance, norms = search.nearest(chunk)
            weight = search.weights(norms)
            statistics.sums += sum_by_cluster(
                chunk, labels, weight, self.num_clusters)
            statistics.counts += labels.bincount(minlength=self.num_clusters)
            if search.origin is not None:
                norms = torch.linalg.vector_norm(chunk, dim=1)
            if weight is not None:
                norms = norms * weight
            statistics.totals += torch.stack([
                norms.square().sum(dtype=torch.float64),
                distance.sum(dtype=torch.float64)])
        return statistics

    def _farthest(self, shards: Iterable[Tensor],
                  distributed: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the K points that are farthest from their centroids.

        Returns:
            tuple[Tensor, Tensor, Tensor]: Points at their length in this
            metric, shape (K, D), their clusters and their squared distances,
            shape (K,), farthest first; the first of equals. Missing points
            are at distance -1.
        """
        rows = torch.zeros_like(self.centroids)
        labels = torch.zeros_like(self.counts)
        distances = rows.new_full((self.num_clusters, ), -1)

        def keep(*more: Tensor) -> None:
            nonlocal rows, labels, distances
            merged = torch.cat([distances, more[2]])
            best = merged.sort(descending=True, stable=True).indices
            best = best[:self.num_clusters]
            rows = torch.cat([rows, more[0]])[best]
            labels = torch.cat([labels, more[1]])[best]
            distances = merged[best]

        search = self._search()
        for chunk in self._chunks(shards):
            nearest, distance, norms = search.nearest(chunk)
            weight = search.weights(norms)
            points = chunk if weight is None else chunk * weight.unsqueeze(1)
            keep(points, nearest, distance)
        if distributed:
            gathered = [torch.cat(all_gather(part))
                        for part in (rows, labels, distances)]
            distances = torch.full_like(distances, -1)
            keep(*gathered)
        return rows, labels, distances

    def _move(self, sums: Tensor, counts: Tensor) -> float:
        """Move the centroids that have points to their means.

        Args:
            sums (Tensor): Sums of the points, shape (K, D).
            counts (Tensor): Their numbers, shape (K,).

        Returns:
            float: Sum of the squared shifts.
        """
        means = sums / counts.clamp(min=1).unsqueeze(1)
        if self.metric == 'cosine':
            means = F.normalize(means)
        # rounded first, so that centroids at rest shift by exactly 0
        moved = torch.where(
            counts.unsqueeze(1) > 0, means.to(self.centroids), self.centroids)
        shift = (moved - self.centroids).square().sum().item()
        self.centroids.copy_(moved)
        return shift

    def _report(self, statistics: ClusterStatistics) -> None:
        """Log how the fit ended."""
        num_empty = int((statistics.counts == 0).sum())
        print_log(
            f'K-means: {int(statistics.counts.sum())} points, '
            f'{self.num_clusters} clusters, {self.num_iters} iterations, '
            f'inertia {self.inertia:.6g}', logger='current')
        if num_empty:
            print_log(
                f'K-means: {num_empty} of {self.num_clusters} clusters are '
                'empty, the points have fewer distinct values: lower '
                'num_clusters', logger='current', level=logging.WARNING)
