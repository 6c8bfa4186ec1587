"""Where K-means starts: random points, spread out or not."""
import math

import torch
from torch import Tensor


def distinct_integers(high: int,
                      num: int,
                      generator: torch.Generator | None = None) -> Tensor:
    """Draw distinct integers below ``high`` uniformly, in ascending order.

    Memory grows with ``num``, not with ``high``.

    Args:
        high (int): The integers are in [0, high).
        num (int): How many to draw; all of them when ``num >= high``.
        generator (torch.Generator, optional): Source of randomness.

    Returns:
        Tensor: Shape (min(num, high),), int64, on the generator's device.
    """
    device = generator.device if generator is not None else None
    if num >= high:
        return torch.arange(high, device=device)
    if 2 * num >= high:
        drawn = torch.randperm(high, generator=generator, device=device)
        return drawn[:num].sort().values
    drawn = torch.empty(0, dtype=torch.int64, device=device)
    while len(drawn) < num:
        more = torch.randint(high, (num, ), generator=generator, device=device)
        drawn = torch.cat([drawn, more]).unique()
    keep = torch.randperm(len(drawn), generator=generator, device=device)
    return drawn[keep[:num]].sort().values


def squared_distances(x: Tensor, points: Tensor) -> Tensor:
    """Squared Euclidean distances of rows, (n, D), (m, D) -> (m, n).

    What is within rounding of 0 is 0, so that no point is drawn twice.
    """
    norms = points.square().sum(dim=1, keepdim=True) + x.square().sum(dim=1)
    distances = torch.addmm(norms, points, x.t(), alpha=-2)
    rounding = 8 * torch.finfo(x.dtype).eps
    return distances.masked_fill_(distances <= rounding * norms, 0)


def kmeans_plusplus(x: Tensor,
                    num_clusters: int,
                    generator: torch.Generator | None = None) -> Tensor:
    """Greedy k-means++: draw points far from those drawn before.

    `k-means++: The Advantages of Careful Seeding
    <https://theory.stanford.edu/~sergei/papers/kMeansPP-soda.pdf>`_, section
    2.2 and its greedy variant: each centre is the best of
    ``2 + floor(log K)`` candidates, drawn with a probability proportional to
    the squared distance to the nearest centre so far. The best is the one
    that leaves the smallest sum of these distances. For the cosine metric,
    hand over normalised rows.

    Args:
        x (Tensor): Points, shape (n, D), floating, n >= num_clusters.
        num_clusters (int): Centres to draw, K.
        generator (torch.Generator, optional): Source of randomness.

    Returns:
        Tensor: K rows of ``x``, shape (K, D); rows repeat only when ``x`` has
        fewer than K distinct rows.
    """
    def uniform(num: int) -> Tensor:
        device = generator.device if generator is not None else x.device
        return torch.rand(num, dtype=torch.float64, generator=generator,
                          device=device).to(x.device)

    num_candidates = 2 + int(math.log(num_clusters))
    first = (uniform(1) * len(x)).long().clamp(max=len(x) - 1)
    chosen = [x[first[0]]]
    nearest = squared_distances(x, x[first])[0]
    for _ in range(num_clusters - 1):
        mass = nearest.double().cumsum(dim=0)
        drawn = torch.searchsorted(
            mass, uniform(num_candidates) * mass[-1], right=True)
        candidates = x[drawn.clamp(max=len(x) - 1)]
        distances = squared_distances(x, candidates).minimum(nearest)
        best = distances.double().sum(dim=1).argmin()
        chosen.append(candidates[best])
        nearest = distances[best]
    return torch.stack(chosen)
