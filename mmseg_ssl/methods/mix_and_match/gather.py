"""One graph of the patches of all processes."""
import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor


def gather_nodes(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Collect the nodes of all processes, in the order of their ranks.

    Every process is to compute the same loss from them. Gradients flow to the
    process's own features only, which is all of them since the loss is the
    same everywhere; they are multiplied by the number of processes, because
    DistributedDataParallel divides by it. So the weights receive the gradient
    of one process that holds all nodes.

    Args:
        features (Tensor): This process's nodes, shape (n, D); n may differ
            between processes and may be 0.
        labels (Tensor): Their classes, shape (n,), int64.

    Returns:
        tuple[Tensor, Tensor]: Features (N, D) and classes (N,) of all nodes.
        The arguments themselves for a single process.
    """
    world_size = get_world_size()
    if world_size == 1:
        return features, labels
    counts = [
        int(count) for count in all_gather(
            torch.tensor([len(labels)], device=labels.device))
    ]
    if features.requires_grad:
        features.register_hook(lambda gradient: gradient * world_size)
    all_features = [
        part[:count] for part, count in zip(
            all_gather(_padded(features.detach(), max(counts))), counts)
    ]
    all_features[get_rank()] = features
    all_labels = [
        part[:count] for part, count in zip(
            all_gather(_padded(labels, max(counts))), counts)
    ]
    return torch.cat(all_features), torch.cat(all_labels)


def _padded(rows: Tensor, length: int) -> Tensor:
    """Append zeros; collectives take tensors of one shape only."""
    padded = rows.new_zeros((length, *rows.shape[1:]))
    padded[:len(rows)] = rows
    return padded
