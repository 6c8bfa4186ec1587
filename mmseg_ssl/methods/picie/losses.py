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
        centroids (Tensor): Shape (K, D); get no gradient.
        metric (str): 'cosine', or 'euclidean': minus the squared distance, up
            to a term that is the same for all centres.

    Returns:
        Tensor: Shape (B, K, h, w); the nearest centre has the largest.
    """
    products = _products(features, centroids, metric)
    if metric == 'euclidean':
        return products
    norms = features.to(products).norm(dim=1, keepdim=True)
    # K scores are fewer than the D numbers of a normalised copy
    return products / norms.clamp(min=1e-12)


def nearest_clusters(features: Tensor, centroids: Tensor,
                     metric: str = 'cosine') -> Tensor:
    """Find the centre with the largest of :func:`cluster_scores`.

    Args:
        features (Tensor): Shape (B, D, h, w).
        centroids (Tensor): Shape (K, D).
        metric (str): 'cosine' or 'euclidean'. Defaults to 'cosine'.

    Returns:
        Tensor: Clusters, shape (B, h, w), int64.
    """
    # the length of a feature does not change which centre is nearest
    return _products(features, centroids, metric).argmax(dim=1)


def _products(features: Tensor, centroids: Tensor, metric: str) -> Tensor:
    """Scores (B, K, h, w), for cosines times the length of the feature."""
    if features.dtype in (torch.float16, torch.bfloat16):
        features = features.float()
    centroids = centroids.detach().to(features)
    with torch.autocast(features.device.type, enabled=False):
        if metric == 'euclidean':
            return F.conv2d(features, 2 * centroids[:, :, None, None],
                            -centroids.square().sum(dim=1))
        return F.conv2d(features, F.normalize(centroids)[:, :, None, None])


def cluster_loss(scores: Tensor,
                 labels: Tensor,
                 temperature: float = 1.0,
                 weight: Tensor | None = None) -> Tensor:
    """Pull pixels to the centres of their clusters (FS4, Eq. 2; PiCIE).

    ``-log softmax(-d(z, mu) / temperature)`` at the pixel's cluster, with the
    cosine distance d; the mean over all pixels.

    Args:
        scores (Tensor): Cosines of z and mu, shape (B, K, h, w).
        labels (Tensor): y, clusters, shape (B, h, w), int64,
            :data:`IGNORED` (-1) is no cluster and does not count.
        temperature (float): Defaults to 1, the paper's.
        weight (Tensor, optional): Of each cluster, shape (K,).

    Returns:
        Tensor: Scalar; 0 with a graph when no pixel counts.
    """
    # the constant of d = 1 - cosine drops out of the softmax
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
