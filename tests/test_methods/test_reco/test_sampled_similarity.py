"""Dot products with drawn keys against gathering all of them."""
import pytest
import torch

from mmseg_ssl.methods.reco import sampled_similarity as module


def draws(num_queries, num_keys, num_draws, seed=0):
    rng = torch.Generator().manual_seed(seed)
    queries = torch.randn(
        num_queries, 4, dtype=torch.float64, generator=rng)
    keys = torch.randn(num_keys, 4, dtype=torch.float64, generator=rng)
    index = torch.randint(num_keys, (num_queries, num_draws), generator=rng)
    index[0] = num_keys - 1  # all in the last block, one key many times
    return queries, keys, index.sort(dim=1)[0]


@pytest.mark.parametrize('num_draws', [6, 12])
def test_gradcheck(num_draws):
    """With fewer and with more draws than keys."""
    queries, keys, index = draws(3, 9, num_draws)
    assert torch.autograd.gradcheck(
        lambda q: module.SampledSimilarity.apply(q, keys, index),
        queries.requires_grad_())
    torch.testing.assert_close(
        module.SampledSimilarity.apply(queries, keys, index),
        torch.einsum('qd,qmd->qm', queries, keys[index]))


@pytest.mark.parametrize('block_size', [1, 7, 20, 1000])
@pytest.mark.parametrize('num_draws', [1, 5, 50])
def test_blocks(block_size, num_draws):
    queries, keys, index = draws(8, 50, num_draws)
    blocks = module.KeyBlocks(index, len(keys), block_size)
    torch.testing.assert_close(
        blocks.products(queries, keys),
        torch.einsum('qd,qmd->qm', queries, keys[index]))
    weights = torch.randn(8, num_draws, dtype=torch.float64)
    torch.testing.assert_close(
        blocks.weighted_sums(weights, keys),
        torch.einsum('qm,qmd->qd', weights, keys[index]))
    assert len(blocks.blocks) == max(1, 50 // max(block_size, num_draws))


@pytest.mark.parametrize('chunk_bytes', [1, 2 * 6 * 4 * 8, 2**20])
def test_gathered_products(chunk_bytes):
    queries, keys, index = draws(5, 9, 6)
    torch.testing.assert_close(
        module.gathered_products(queries, keys, index, chunk_bytes),
        torch.einsum('qd,qmd->qm', queries, keys[index]))
