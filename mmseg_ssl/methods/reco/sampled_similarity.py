"""Dot products of queries with keys of their own, without gathering them."""
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CACHE_BYTES = 2**23
CHUNK_BYTES = 2**28

# Said by torch about a layout whose one use here the tests cover. Not around
# the call: that would let every other warning be shown again each time.
warnings.filterwarnings('ignore', 'Sparse CSR tensor support is in')


class KeyBlocks:
    """Drawn keys in the order in which a CPU's cache likes to meet them.

    Every query draws from all over the keys, more than a cache holds. Dealt
    with block of keys by block of keys, each is read from memory once.

    Args:
        index (Tensor): Drawn rows of the keys, ascending in each row, shape
            (n, M), int64.
        num_keys (int): Number of keys N >= M.
        block_size (int): Wanted keys in a block. A block has at least M, as
            torch does not hold more elements in a sparse matrix than it has
            places.

    Attributes:
        order (Tensor): Draws of the first block, query after query, then of
            the second..., as positions in the flat ``index``.
        blocks (list): Of each block its rows of the keys (slice), the rows
            drawn counted from its first (Tensor), and where the draws of each
            query start (Tensor, n + 1).
    """

    def __init__(self, index: Tensor, num_keys: int, block_size: int) -> None:
        num_blocks = max(1, num_keys // max(block_size, index.size(1)))
        edges = torch.arange(num_blocks + 1) * num_keys // num_blocks
        bounds = torch.searchsorted(
            index, edges.expand(len(index), -1).contiguous())
        counts = bounds.diff(dim=1).t()  # (num_blocks, n)
        queries = torch.arange(len(index)) * index.size(1)
        sources = (bounds[:, :-1] + queries[:, None]).t()
        targets = counts.flatten().cumsum(0).view_as(counts) - counts
        self.order = torch.arange(index.numel()) + torch.repeat_interleave(
            (sources - targets).flatten(), counts.flatten())

        drawn = index.flatten().index_select(0, self.order)
        starts = F.pad(counts.cumsum(1), (1, 0))
        self.blocks = [
            (slice(first, last), rows - first, block_starts)
            for first, last, rows, block_starts in zip(
                edges.tolist(), edges[1:].tolist(),
                drawn.split(counts.sum(1).tolist()), starts)
        ]

    def products(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Dot product of each query with each key it drew, shape (n, M)."""
        values = torch.cat([
            sparse_products(queries, keys[block], rows, starts)
            for block, rows, starts in self.blocks
        ])
        products = torch.empty_like(values).scatter_(0, self.order, values)
        return products.view(len(queries), -1)

    def weighted_sums(self, weights: Tensor, keys: Tensor) -> Tensor:
        """Sum of the keys drawn, with weights of shape (n, M), for each query.

        Returns:
            Tensor: Shape (n, D).
        """
        weights = weights.flatten().index_select(0, self.order)
        sums = keys.new_zeros(len(self.blocks[0][2]) - 1, keys.size(1))
        done = 0
        for block, rows, starts in self.blocks:
            sums += F.embedding_bag(
                rows, keys[block], starts, mode='sum',
                per_sample_weights=weights[done:done + len(rows)],
                include_last_offset=True)
            done += len(rows)
        return sums


def sparse_products(queries: Tensor, keys: Tensor, rows: Tensor,
                    starts: Tensor) -> Tensor:
    """Dot products of query i with ``keys[rows[starts[i]:starts[i + 1]]]``."""
    pattern = torch.sparse_csr_tensor(
        starts, rows, keys.new_zeros(len(rows)),
        size=(len(queries), len(keys)), check_invariants=False)
    return torch.sparse.sampled_addmm(
        pattern, queries, keys.t(), beta=0.).values()


def gathered_products(queries: Tensor,
                      keys: Tensor,
                      index: Tensor,
                      chunk_bytes: int = CHUNK_BYTES) -> Tensor:
    """Dot products by gathering keys, ``chunk_bytes`` at a time.

    Args:
        queries (Tensor): Shape (n, D).
        keys (Tensor): Shape (N, D).
        index (Tensor): Rows of ``keys``, shape (n, M), int64.
        chunk_bytes (int): Upper bound of the memory of gathered keys.

    Returns:
        Tensor: Shape (n, M).
    """
    row_bytes = index.size(1) * keys.size(1) * keys.element_size()
    chunk = max(1, chunk_bytes // row_bytes)
    products = [
        torch.bmm(keys[key_rows], query_rows.unsqueeze(2)).squeeze(2)
        for query_rows, key_rows in zip(
            queries.split(chunk), index.split(chunk))
    ]
    return torch.cat(products)


class SampledSimilarity(torch.autograd.Function):
    """Dot products of each query with its own sampled keys.

    ``similarity[i, j] = queries[i] . keys[index[i, j]]``, without ever holding
    the sampled keys of all queries. Keys receive no gradient.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor,
                index: Tensor) -> Tensor:
        """
        Args:
            queries (Tensor): Shape (n, D).
            keys (Tensor): Shape (N, D).
            index (Tensor): Rows of ``keys``, ascending in each row, shape
                (n, M), int64.

        Returns:
            Tensor: Similarities, shape (n, M).
        """
        ctx.blocks = None
        if keys.device.type == 'cpu' and index.size(1) <= len(keys):
            ctx.save_for_backward(keys)
            key_bytes = keys.size(1) * keys.element_size()
            ctx.blocks = KeyBlocks(index, len(keys), CACHE_BYTES // key_bytes)
            return ctx.blocks.products(queries, keys)
        ctx.save_for_backward(keys, index)
        return gathered_products(queries, keys, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the queries, shape (n, D)."""
        keys = ctx.saved_tensors[0]
        if ctx.blocks is not None:
            return ctx.blocks.weighted_sums(grad, keys), None, None
        index = ctx.saved_tensors[1]
        grad_queries = F.embedding_bag(
            index, keys, per_sample_weights=grad.contiguous(), mode='sum')
        return grad_queries, None, None
