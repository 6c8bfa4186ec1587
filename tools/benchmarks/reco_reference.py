"""ReCo's loss as its paper writes it: slow, with a loop for every "for all".

`Bootstrapping Semantic Segmentation with Regional Contrast
<https://arxiv.org/abs/2104.04465>`_, section 3. What the loss of this package
is tested against and timed against; nothing else uses it.
"""
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


class ReferenceLoss:
    """Eq. 1 to 4, one class, one query and one negative class at a time.

    Each named step is a method, so that a test can replace it by a wrong one.

    Args:
        num_queries (int): Queries per class.
        num_keys (int): Negative keys per query.
        temperature (float): Of Eq. 1 and of the class relations.
        strong_threshold (float): Separates hard from easy queries.
        query_sampling (str): 'hard', 'easy' or 'random'.
        key_sampling (str): 'active' or 'random'.
    """

    def __init__(self,
                 num_queries: int = 256,
                 num_keys: int = 512,
                 temperature: float = 0.5,
                 strong_threshold: float = 0.97,
                 query_sampling: str = 'hard',
                 key_sampling: str = 'active') -> None:
        self.num_queries = num_queries
        self.num_keys = num_keys
        self.temperature = temperature
        self.strong_threshold = strong_threshold
        self.query_sampling = query_sampling
        self.key_sampling = key_sampling

    def __call__(self,
                 embedding: Tensor,
                 label: Tensor,
                 prob: Tensor,
                 generator: torch.Generator | None = None) -> Tensor:
        """The loss; arguments as of ``RegionalContrastLoss.forward``."""
        terms = self.class_terms(embedding, label, prob, generator)
        return sum(terms, start=embedding[:0].sum())

    def class_terms(self,
                    embedding: Tensor,
                    label: Tensor,
                    prob: Tensor,
                    generator: torch.Generator | None = None
                    ) -> Iterator[Tensor]:
        """Yield the summand of each class in Eq. 1.

        Each has a graph of its own: calling ``backward`` on one before the
        next is made bounds the memory by that of a single class.
        """
        classes = [c for c in range(prob.size(1)) if (label == c).any()]
        if len(classes) < 2:
            return
        with torch.no_grad():
            keys = {c: self.keys(embedding, label == c) for c in classes}
            means = {c: self.mean(keys[c]) for c in classes}
        for query_class in classes:
            queries = self.queries(embedding, label, prob, query_class)
            if len(queries) == 0:
                continue
            losses = []
            picks = torch.randint(
                len(queries), (self.num_queries, ), generator=generator)
            for pick in picks:
                negatives = self.negatives(query_class, keys, means, generator)
                losses.append(
                    self.contrast(queries[pick], means[query_class],
                                  negatives))
            yield torch.stack(losses).mean() / len(classes)

    def keys(self, embedding: Tensor, where: Tensor) -> Tensor:
        """Representations of the pixels in a mask (Eq. 2), no gradient."""
        return embedding.detach().permute(0, 2, 3, 1)[where]

    def mean(self, keys: Tensor) -> Tensor:
        """Positive key of a class: the mean of its representations (Eq. 2)."""
        return keys.mean(dim=0)

    def queries(self, embedding: Tensor, label: Tensor, prob: Tensor,
                query_class: int) -> Tensor:
        """Representations that may become a query of a class (Eq. 4)."""
        where = label == query_class
        if self.query_sampling == 'hard':
            where = where & (prob[:, query_class] < self.strong_threshold)
        elif self.query_sampling == 'easy':
            where = where & (prob[:, query_class] >= self.strong_threshold)
        return embedding.permute(0, 2, 3, 1)[where]

    def relation(self, query_class: int, means: dict[int, Tensor]) -> Tensor:
        """Probability of each other class as negative class (Eq. 3)."""
        similarity = torch.stack([
            F.cosine_similarity(means[query_class], means[other], dim=0)
            for other in means if other != query_class
        ])
        return torch.softmax(similarity / self.temperature, dim=0)

    def negatives(self, query_class: int, keys: dict[int, Tensor],
                  means: dict[int, Tensor],
                  generator: torch.Generator | None) -> Tensor:
        """Draw the negative keys of one query (section 3.2)."""
        others = [c for c in keys if c != query_class]
        if self.key_sampling == 'random':
            pool = torch.cat([keys[c] for c in others])
            return pool[torch.randint(
                len(pool), (self.num_keys, ), generator=generator)]
        drawn = torch.multinomial(
            self.relation(query_class, means),
            self.num_keys,
            replacement=True,
            generator=generator)
        parts = []
        for position, other in enumerate(others):
            count = int((drawn == position).sum())
            parts.append(keys[other][torch.randint(
                len(keys[other]), (count, ), generator=generator)])
        return torch.cat(parts)

    def contrast(self, query: Tensor, positive: Tensor,
                 negatives: Tensor) -> Tensor:
        """The logarithm in Eq. 1 for one query."""
        keys = torch.cat([positive[None], negatives])
        similarity = F.cosine_similarity(query[None], keys, dim=1)
        logits = similarity / self.temperature
        return -torch.log_softmax(logits, dim=0)[0]
