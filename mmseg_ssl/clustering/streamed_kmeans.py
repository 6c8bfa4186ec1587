"""K-means of points that pass by once, batch by batch."""
import math

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from mmseg_ssl.clustering.mini_batch_kmeans import MiniBatchKMeans


class StreamedKMeans:
    """Feed a :class:`MiniBatchKMeans` with points that are seen only once.

    As in the released code of `PiCIE <https://arxiv.org/abs/2103.17070>`_:
    the first batches give the centres to start from, later ones move them by
    mini-batch updates with the learning rate ``n_k / count_k``. There, Lloyd's
    algorithm sees all points of the first batches; here, ``init_size`` points
    drawn from them, and their counts are scaled up to what they stand for, so
    that each point of the stream weighs the same.

    Memory is ``init_size`` points, and a batch. With ``torch.distributed`` all
    processes must call :meth:`update` equally often; ``init_size`` is shared
    among them, and all end with the same centroids.

    Args:
        kmeans (MiniBatchKMeans): Is started anew.
        num_init_batches (int): Batches that give the start. Defaults to 20.
        init_size (int): Points kept of these. Defaults to 131072.
        generator (torch.Generator, optional): Source of randomness.
    """

    def __init__(self,
                 kmeans: MiniBatchKMeans,
                 num_init_batches: int = 20,
                 init_size: int = 2**17,
                 generator: torch.Generator | None = None) -> None:
        if num_init_batches < 1:
            raise ValueError('num_init_batches must be at least 1, not '
                             f'{num_init_batches}')
        if init_size < kmeans.num_clusters:
            raise ValueError(
                f'init_size={init_size} points cannot start '
                f'{kmeans.num_clusters} clusters')
        self.kmeans = kmeans
        self.num_init_batches = num_init_batches
        self.keep = math.ceil(
            init_size / (num_init_batches * get_world_size()))
        self.generator = generator
        self._kept: list[Tensor] = []
        self._seen = 0
        self._started = False

    def update(self, x: Tensor) -> None:
        """Take a batch of points, shape (n, D); n may differ by process.

        Raises:
            ValueError: Points are not finite, have the wrong shape, or the
                first batches hold fewer of them than there are clusters.
        """
        if self._started:
            self.kmeans.partial_fit(x)
            return
        self._seen += len(x)
        if len(x) > self.keep:
            rows = torch.randperm(len(x), generator=self.generator)
            # a copy, or a view would keep the whole batch
            x = x[rows[:self.keep].to(x.device)]
        self._kept.append(x)
        if len(self._kept) == self.num_init_batches:
            self._start()

    def finish(self) -> None:
        """Call this after the last batch; short streams start here."""
        if not self._started:
            self._start()

    def _start(self) -> None:
        """Find the centres to start from in what was kept."""
        kmeans = self.kmeans.fit(self._kept, self.generator)
        numbers = torch.tensor(
            [self._seen, sum(map(len, self._kept))], dtype=torch.float64)
        all_reduce(numbers)
        seen, kept = numbers.tolist()
        kmeans.sums *= seen / kept
        kmeans.counts.copy_((kmeans.counts.double() * seen / kept).round())
        self._kept.clear()
        self._started = True
