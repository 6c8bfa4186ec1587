"""The ReCo loss: contrast a sparse set of hard pixels between classes."""
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.methods.reco.sampled_similarity import SampledSimilarity
from mmseg_ssl.sampling import random_integers, sampling_dtype

QUERY_SAMPLING = ('hard', 'random', 'easy')
KEY_SAMPLING = ('active', 'random')


def pixel_rows(embedding: Tensor) -> Tensor:
    """Copy maps (B, D, h, w) to one row a pixel, shape (B*h*w, D)."""
    # Transposing one matrix after another is faster than permuting them all.
    return torch.cat([image.flatten(1).t() for image in embedding])


def gather_pixels(embedding: Tensor, index: Tensor) -> Tensor:
    """Embeddings of some pixels.

    Args:
        embedding (Tensor): Shape (B, D, h, w).
        index (Tensor): Pixel numbers as in :func:`pixel_rows`, shape (n,).

    Returns:
        Tensor: Shape (n, D). The gradient has the layout of ``embedding``.
    """
    maps = embedding.flatten(2)  # (B, D, h*w)
    image = index // maps.size(2)
    pixel = index - image * maps.size(2)
    # The gradient of indexing is contiguous in the order of the dimensions.
    if embedding.is_contiguous(memory_format=torch.channels_last):
        return maps.transpose(1, 2)[image, pixel]
    return maps[image, :, pixel]


def relation_distribution(means: Tensor, temperature: float) -> Tensor:
    """How often each class is drawn as negative of each query class (Eq. 3).

    Args:
        means (Tensor): Class mean embeddings, shape (P, D), P >= 2.
        temperature (float): Softmax temperature.

    Returns:
        Tensor: Row-wise distributions, shape (P, P), zero on the diagonal.
    """
    means = F.normalize(means, dim=1)
    graph = means @ means.t() / temperature
    graph.fill_diagonal_(float('-inf'))
    return graph.softmax(dim=1)


def uniform_distribution(counts: Tensor) -> Tensor:
    """Class frequencies among all pixels of the other classes.

    Drawing a class with these probabilities and then one of its pixels
    uniformly is drawing uniformly from all pixels of other classes.

    Args:
        counts (Tensor): Pixels of each class, shape (P,), P >= 2.

    Returns:
        Tensor: Row-wise distributions, shape (P, P), zero on the diagonal.
    """
    weights = counts.to(torch.get_default_dtype()).repeat(len(counts), 1)
    weights.fill_diagonal_(0)
    return weights / weights.sum(dim=1, keepdim=True)


def sample_keys(distribution: Tensor,
                counts: Tensor,
                num_queries: int,
                num_keys: int,
                generator: torch.Generator | None = None) -> Tensor:
    """Draw negative keys: a class by ``distribution``, then a pixel of it.

    All draws are independent, between keys and between queries.

    Args:
        distribution (Tensor): Probability of each of K negative classes for
            each query class, shape (P, K).
        counts (Tensor): Pixels of each negative class, shape (K,); pixels are
            numbered class after class. A class without any needs probability
            0.
        num_queries (int): Queries per class, Q.
        num_keys (int): Keys per query, M.
        generator (torch.Generator, optional): Source of randomness.

    Returns:
        Tensor: Pixel numbers, shape (P, Q, M), ascending along the last axis.
    """
    dtype = sampling_dtype(counts.device)
    probability = distribution.to(dtype)
    # Sorted uniform numbers, straight from the spacings of a Poisson process.
    num_classes = len(probability)
    shape = (num_classes * num_queries, num_keys + 1)
    arrivals = torch.rand(
        shape, dtype=dtype, device=counts.device,
        generator=generator).neg_().log1p_().neg_().cumsum(1)
    uniform = arrivals[:, :-1] / arrivals[:, -1:]
    uniform = uniform.view(num_classes, num_queries * num_keys)

    upper = probability.cumsum(1)
    # Rounding must not leave a gap between the last class and 1.
    bounds = upper.masked_fill(upper >= upper[:, -1:], torch.inf)
    classes = torch.searchsorted(bounds, uniform, right=True)
    # Overflown embeddings must end in a NaN loss, which loss scaling skips.
    classes = classes.clamp_(max=len(counts) - 1)
    # Inside a class, the number that chose it is uniform again.
    first = counts.cumsum(0) - counts
    slope = counts / probability.clamp(min=torch.finfo(dtype).tiny)
    offset = first - slope * (upper - probability)
    pixels = uniform.mul_(slope.gather(1, classes))
    pixels = pixels.add_(offset.gather(1, classes)).long()
    pixels = pixels.maximum(first[classes])
    pixels = pixels.minimum((first + counts - 1)[classes])
    return pixels.view(num_classes, num_queries, num_keys)


def sample_queries(
        eligible: Tensor,
        counts: Tensor,
        num_queries: int,
        generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Draw queries of each class uniformly, with replacement (Eq. 4).

    Args:
        eligible (Tensor): Which pixels may be a query, shape (N,), bool;
            pixels are numbered class after class.
        counts (Tensor): Pixels of each class, shape (P,), sum N.
        num_queries (int): Queries per class, Q.
        generator (torch.Generator, optional): Source of randomness.

    Returns:
        tuple[Tensor, Tensor]: Pixel numbers, shape (P, Q), and the number of
        eligible pixels of each class, shape (P,). The pixel numbers of a class
        without an eligible pixel mean nothing.
    """
    eligible_so_far = eligible.cumsum(0)
    last_pixel = counts.cumsum(0) - 1
    until_class_end = eligible_so_far[last_pixel]
    num_eligible = until_class_end.diff(prepend=until_class_end.new_zeros(1))
    # The k-th eligible pixel is where the running count first reaches k.
    rank = (until_class_end - num_eligible)[:, None] + random_integers(
        num_eligible[:, None].expand(-1, num_queries), generator)
    pixels = torch.searchsorted(eligible_so_far, rank + 1)
    return pixels.clamp(max=len(eligible) - 1), num_eligible


@MODELS.register_module()
class RegionalContrastLoss(nn.Module):
    """Pixel-level contrast on a sparse set of queries and keys.

    The loss of `Bootstrapping Semantic Segmentation with Regional Contrast
    <https://arxiv.org/abs/2104.04465>`_ (Eq. 1-4). For every class in the
    batch, hard pixels (queries) are pulled to the mean of their class and
    pushed from pixels (negative keys) of other classes; classes whose mean
    looks alike are drawn as negatives more often.

    The embedding comes from :class:`mmseg_ssl.methods.reco.EmbeddingHead`.
    Beside a copy of the embedding, the loss needs about 50 bytes for each key
    drawn: 120 MiB for 19 classes in the batch, 940 MiB for 150.

    Args:
        num_queries (int): Queries per class, Q. Defaults to 256.
        num_keys (int): Negative keys per query, M. Defaults to 512.
        temperature (float): Divides the cosine similarities of Eq. 1 and of
            the class relations of Eq. 3. Defaults to 0.5.
        strong_threshold (float): A pixel is hard while the probability of its
            own class is below this value. Defaults to 0.97.
        query_sampling (str): Which pixels become queries: ``'hard'``,
            ``'easy'`` (the others) or ``'random'`` (all).
            Defaults to ``'hard'``.
        key_sampling (str): ``'active'`` draws the class of a key by the class
            relations, ``'random'`` draws keys uniformly from all pixels of
            other classes. Defaults to ``'active'``.
        loss_weight (float): Factor of the loss. Defaults to 1.0.
    """

    def __init__(self,
                 num_queries: int = 256,
                 num_keys: int = 512,
                 temperature: float = 0.5,
                 strong_threshold: float = 0.97,
                 query_sampling: str = 'hard',
                 key_sampling: str = 'active',
                 loss_weight: float = 1.0) -> None:
        super().__init__()
        if query_sampling not in QUERY_SAMPLING:
            raise ValueError(f'query_sampling must be one of {QUERY_SAMPLING},'
                             f' but got {query_sampling!r}')
        if key_sampling not in KEY_SAMPLING:
            raise ValueError(f'key_sampling must be one of {KEY_SAMPLING}, '
                             f'but got {key_sampling!r}')
        if num_queries < 1 or num_keys < 1:
            raise ValueError('num_queries and num_keys must be at least 1, '
                             f'but got {num_queries} and {num_keys}')
        if temperature <= 0:
            raise ValueError(
                f'temperature must be positive, but got {temperature}')
        self.num_queries = num_queries
        self.num_keys = num_keys
        self.temperature = temperature
        self.strong_threshold = strong_threshold
        self.query_sampling = query_sampling
        self.key_sampling = key_sampling
        self.loss_weight = loss_weight

    def forward(self,
                embedding: Tensor,
                label: Tensor,
                prob: Tensor,
                generator: torch.Generator | None = None) -> Tensor:
        """Compute the loss.

        Args:
            embedding (Tensor): Pixel embeddings, shape (B, D, h, w).
            label (Tensor): Class of each pixel, 255 where the pixel takes no
                part, shape (B, h, w), int64.
            prob (Tensor): Predicted class probabilities, shape (B, C, h, w).
            generator (torch.Generator, optional): Source of randomness, on
                the device of ``embedding``.

        Returns:
            Tensor: Scalar. Zero, with a graph to ``embedding``, when fewer
            than two classes are present.

        Raises:
            TypeError: If the labels are not int64.
            ValueError: If the shapes do not belong together, a label is
                neither 255 nor below C, or there are more than 255 classes.
        """
        self._check_inputs(embedding, label, prob)
        # Half precision is too coarse for sums over thousands of keys.
        with torch.autocast(embedding.device.type, enabled=False):
            if embedding.dtype in (torch.float16, torch.bfloat16):
                embedding = embedding.float()
            return self._contrast(embedding, label, prob, generator)

    def _contrast(self, embedding: Tensor, label: Tensor, prob: Tensor,
                  generator: torch.Generator | None) -> Tensor:
        sorted_label, order = label.flatten().sort(stable=True)
        counts = self._class_counts(sorted_label, prob.size(1))
        classes = counts.nonzero().flatten()
        if len(classes) < 2:
            return embedding[:0].sum()
        order = order[:int(counts.sum())]
        counts, classes = (
            x.to(embedding.device, non_blocking=True)
            for x in (counts[classes], classes))

        # From here on pixels are numbered class after class.
        keys = pixel_rows(embedding.detach())
        keys = keys.index_select(0, order)  # (N, D)
        members = sorted_label[:len(order)] == classes[:, None]
        means = members.to(keys.dtype) @ keys / counts[:, None]  # (P, D)
        keys /= keys.norm(dim=1, keepdim=True).clamp(min=1e-12)

        query_index, drawn, key_index = self._draw(
            self._eligible_queries(label, prob)[order], counts, means,
            generator)
        per_query = self._per_query(
            gather_pixels(embedding, order[query_index.flatten()]),
            means.repeat_interleave(self.num_queries, dim=0), keys,
            key_index.flatten(0, 1))
        per_class = per_query.view_as(query_index).mean(dim=1)
        return self.loss_weight * torch.where(drawn, per_class, 0).mean()

    def _draw(self, eligible: Tensor, counts: Tensor, means: Tensor,
              generator: torch.Generator | None
              ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw queries and negative keys, pixels numbered class after class.

        Args:
            eligible (Tensor): Which pixels may be a query, shape (N,), bool.
            counts (Tensor): Pixels of each class, shape (P,).
            means (Tensor): Mean embedding of each class, shape (P, D).
            generator (torch.Generator, optional): Source of randomness.

        Returns:
            tuple[Tensor, Tensor, Tensor]: Pixel numbers of the queries
            (P, Q), which classes have any (P,), and the pixel numbers of
            their keys (P, Q, M).
        """
        queries, num_eligible = sample_queries(
            eligible, counts, self.num_queries, generator)
        distribution = (
            relation_distribution(means, self.temperature)
            if self.key_sampling == 'active' else uniform_distribution(counts))
        keys = sample_keys(distribution, counts, self.num_queries,
                           self.num_keys, generator)
        return queries, num_eligible > 0, keys

    def _per_query(self, queries: Tensor, positives: Tensor, keys: Tensor,
                   key_index: Tensor) -> Tensor:
        """Eq. 1 for each query, shape (n,).

        Args:
            queries (Tensor): Embeddings, shape (n, D).
            positives (Tensor): Means of their classes, shape (n, D).
            keys (Tensor): Embeddings of length 1, shape (N, D).
            key_index (Tensor): Negatives among the keys, shape (n, M).
        """
        queries = F.normalize(queries, dim=1)
        positive = (queries * F.normalize(positives, dim=1)).sum(dim=1)
        negative = SampledSimilarity.apply(queries, keys, key_index)
        logits = torch.cat([positive[:, None], negative], dim=1)
        logits = logits / self.temperature
        return logits.logsumexp(dim=1) - logits[:, 0]

    def _eligible_queries(self, label: Tensor, prob: Tensor) -> Tensor:
        """Which pixels may be a query (Eq. 4), shape (B*h*w,), bool."""
        if self.query_sampling == 'random':
            return torch.ones_like(label, dtype=torch.bool).flatten()
        own_class = label.clamp(max=prob.size(1) - 1).unsqueeze(1)
        own_prob = prob.detach().gather(1, own_class).flatten()
        hard = own_prob < self.strong_threshold
        return hard if self.query_sampling == 'hard' else ~hard

    @staticmethod
    def _class_counts(sorted_label: Tensor, num_classes: int) -> Tensor:
        """Pixels of each class, on the CPU, shape (C,).

        The one host synchronisation of the loss: how many classes are present
        and where they end decides all shapes that follow.
        """
        edges = torch.arange(num_classes + 1, device=sorted_label.device)
        starts_and_unused = torch.cat([
            torch.searchsorted(sorted_label, edges),
            (sorted_label == IGNORE_INDEX).sum()[None],
        ])
        *starts, num_unused = starts_and_unused.tolist()
        if starts[-1] - starts[0] + num_unused != len(sorted_label):
            values = sorted_label.unique().tolist()
            unknown = [
                v for v in values
                if not 0 <= v < num_classes and v != IGNORE_INDEX
            ]
            raise ValueError(
                f'label holds {unknown}, but prob has {num_classes} classes '
                f'(0 to {num_classes - 1}); mark pixels to leave out with '
                f'{IGNORE_INDEX}')
        return torch.tensor(starts).diff()

    @staticmethod
    def _check_inputs(embedding: Tensor, label: Tensor, prob: Tensor) -> None:
        if label.dtype != torch.int64:
            raise TypeError(f'label must be int64, but got {label.dtype}')
        if prob.size(1) > IGNORE_INDEX:
            raise ValueError(
                f'prob has {prob.size(1)} classes, but {IGNORE_INDEX} marks '
                f'pixels to leave out, so there can be {IGNORE_INDEX} at most')
        expected = (embedding.size(0), *embedding.shape[2:])
        prob_grid = (prob.size(0), *prob.shape[2:])
        if tuple(label.shape) != expected or prob_grid != expected:
            raise ValueError(
                'embedding (B, D, h, w), label (B, h, w) and prob '
                '(B, C, h, w) must share B, h and w, but got '
                f'{tuple(embedding.shape)}, {tuple(label.shape)} and '
                f'{tuple(prob.shape)}')
