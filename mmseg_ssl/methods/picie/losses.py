"""How far pixels are from the centres of their clusters."""
import math

import torch
import torch.nn.functional as F
from torch import Tensor

# No cluster. Not 255, the void of class labels: there may be more clusters.
IGNORED = -1


def cluster_scores(features: Tensor, centroids: Tensor,
                   metric: str = 'cosine') -> Tensor:
    """Compare each pixel with each centre, by a frozen 1x1 convolution.

    Half precision is left for float32, also under autocast: cosines of
    neighbouring centres differ in the third digit.

    Args:
        features (Tensor): Shape (B, D, h, w).
        centroids (Tensor): Shape (K, D).
        metric (str): 'cosine', or 'euclidean': minus the squared distance, up
            to a term that is the same for all centres.

    Returns:
        Tensor: Shape (B, K, h, w); the nearest centre has the largest.
    """
    if features.dtype in (torch.float16, torch.bfloat16):
        features = features.float()
    centroids = centroids.to(features)
    with torch.autocast(features.device.type, enabled=False):
        if metric == 'euclidean':
            return F.conv2d(features, 2 * centroids[:, :, None, None],
                            -centroids.square().sum(dim=1))
        products = F.conv2d(features, F.normalize(centroids)[:, :, None, None])
        # K scores are fewer than the D numbers of a normalised copy
        return products / features.norm(dim=1, keepdim=True).clamp(min=1e-12)


def cluster_loss(features: Tensor,
                 labels: Tensor,
                 centroids: Tensor,
                 temperature: float = 1.0,
                 weight: Tensor | None = None) -> Tensor:
    """Pull pixels to the centres of their clusters (FS4, Eq. 2; PiCIE).

    ``-log softmax(-d(z, mu) / temperature)`` at the pixel's cluster, with the
    cosine distance d; the mean over all pixels.

    Args:
        features (Tensor): z, shape (B, D, h, w), of any length.
        labels (Tensor): y, clusters, shape (B, h, w), int64,
            :data:`IGNORED` (-1) is no cluster and does not count.
        centroids (Tensor): mu, shape (K, D); get no gradient.
        temperature (float): Defaults to 1, the paper's.
        weight (Tensor, optional): Of each cluster, shape (K,).

    Returns:
        Tensor: Scalar; 0 with a graph when no pixel counts.
    """
    # the constant of d = 1 - cosine drops out of the softmax
    scores = cluster_scores(features, centroids.detach())
    valid = labels != IGNORED
    weight = weight if weight is None else weight.to(scores)
    loss = F.cross_entropy(scores / temperature, labels, weight,
                           ignore_index=IGNORED, reduction='sum')
    counted = valid.to(loss) if weight is None else valid * weight[
        labels.masked_fill(~valid, 0)]
    return loss / counted.sum().clamp(min=1e-12)


def head_weights(num_clusters: list[int]) -> list[float]:
    """Weights of the losses of several numbers of clusters (PiCIE+H).

    ``log K2 / (log K1 + log K2)`` for K1 clusters, and the other way round:
    each by the entropy that the other could have. One number weighs 1.

    Raises:
        ValueError: There are more than two numbers, or one is below 2.
    """
    if len(num_clusters) > 2 or min(num_clusters) < 2:
        raise ValueError('one or two numbers of clusters, at least 2 each, '
                         f'can be weighted, not {num_clusters}')
    if len(num_clusters) == 1:
        return [1.0]
    first, second = map(math.log, num_clusters)
    return [second / (first + second), first / (first + second)]
