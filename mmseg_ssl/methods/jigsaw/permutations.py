"""Sets of permutations that differ in as many places as possible."""
import math
import os
import tempfile
from itertools import permutations as all_permutations
from pathlib import Path

import numpy as np

MAX_TILES = 9  # 9! = 362,880 permutations are looked at, 10! would be 3.6 M


def permutation_set(num_permutations: int,
                    num_tiles: int = 9,
                    seed: int = 0,
                    cache_dir: Path | None = None) -> np.ndarray:
    """Choose permutations of maximal Hamming distance, greedily.

    Algorithm 1 of `Unsupervised Learning of Visual Representations by Solving
    Jigsaw Puzzles <https://arxiv.org/abs/1603.09246>`_: the first permutation
    is random; each next one is, of all that are left, the one whose mean
    Hamming distance to those already chosen is largest. Of equally distant
    ones a random one is taken.

    The set is kept in a file, as it takes seconds to find.

    Args:
        num_permutations (int): Size of the set, P, at most ``num_tiles!``.
        num_tiles (int): Length of a permutation, N, at most 9. Defaults to 9.
        seed (int): Same seed, same set. Defaults to 0.
        cache_dir (Path, optional): Defaults to ``$XDG_CACHE_HOME/mmseg_ssl``
            or ``~/.cache/mmseg_ssl``.

    Returns:
        np.ndarray: Shape (P, N), int64, rows all different.

    Raises:
        ValueError: If there are too many tiles, or not as many permutations.
    """
    if not 2 <= num_tiles <= MAX_TILES:
        raise ValueError(
            f'permutations of {num_tiles} tiles cannot be searched: use 2 to '
            f'{MAX_TILES} tiles')
    if not 1 <= num_permutations <= math.factorial(num_tiles):
        raise ValueError(
            f'num_permutations must be between 1 and {num_tiles}! = '
            f'{math.factorial(num_tiles)}, but got {num_permutations}')
    path = (cache_dir or _default_cache()) / (
        f'permutations-{num_tiles}-{num_permutations}-seed{seed}.npy')
    if path.is_file():
        return np.load(path)
    chosen = _search(num_permutations, num_tiles, seed)
    _save(chosen, path)
    return chosen


def _default_cache() -> Path:
    root = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(root) / 'mmseg_ssl'


def _search(num_permutations: int, num_tiles: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pool = np.array(list(all_permutations(range(num_tiles))), dtype=np.int8)
    rng.shuffle(pool)  # the first of equally distant ones is a random one
    places = np.ascontiguousarray(pool.T)
    # Sum of the distances to those chosen; the mean is largest where it is.
    distance = np.zeros(len(pool), dtype=np.int32)
    chosen = np.empty(num_permutations, dtype=np.int64)
    for i in range(num_permutations):
        chosen[i] = distance.argmax()
        for place, tile in zip(places, pool[chosen[i]]):
            distance += place != tile
        distance[chosen[i]] = np.iinfo(np.int32).min  # not again
    return pool[chosen].astype(np.int64)


def _save(array: np.ndarray, path: Path) -> None:
    """Write a whole file or none: processes of one run may do it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
            dir=path.parent, suffix='.npy', delete=False) as file:
        np.save(file, array)
    os.replace(file.name, path)
