"""The two label regimes of ReCo: few labelled images, few labelled pixels.

Section 4 of `Bootstrapping Semantic Segmentation with Regional Contrast
<https://arxiv.org/abs/2104.04465>`_. Both functions give the same result for
the same seed on every machine: they draw nothing but ``Generator.random`` of
a named bit generator, whose stream NumPy does not change between versions.
"""
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from mmseg_ssl.conventions import IGNORE_INDEX

# One dilation with the paper's 5x5 square reaches two pixels further.
GROWTH_STEP = 2


def select_labeled(class_sets: Sequence[Collection[int]], num_labeled: int,
                   min_classes: int, seed: int,
                   skip_exhausted: bool = False) -> list[int]:
    """Choose the images to label such that no class stays rare.

    Walks round and round a shuffled list of the images that hold at least
    ``min_classes`` classes, and takes an image whenever it holds one of the
    classes that the images taken so far show least often ("Partial Dataset
    Full Labels").

    The next such image of each class is found by bisection, so that the cost
    grows with the number of images taken and not with the length of the walk.

    Args:
        class_sets (Sequence[Collection[int]]): Distinct classes in each
            image, void not among them. The order matters: sort the images by
            name.
        num_labeled (int): Number of images to choose.
        min_classes (int): Least number of classes in a chosen image; the
            paper takes 12 for Cityscapes, 3 for VOC and 1 for SUN RGB-D.
        seed (int): Of the shuffle.
        skip_exhausted (bool): Go on without a class once all images that show
            it are taken, as the authors' code does on SUN RGB-D. Defaults to
            False: such a class stays the least-seen one, and no more images
            can be chosen.

    Returns:
        list[int]: Indices into ``class_sets``, in the order of selection.

    Raises:
        ValueError: So many images cannot be chosen; says why not.
    """
    if num_labeled > len(class_sets):
        raise ValueError(
            f'cannot choose {num_labeled} labelled images from '
            f'{len(class_sets)}')
    shuffled = _rng(seed).random(len(class_sets)).argsort(kind='stable')
    walk = [i for i in shuffled.tolist()
            if len(class_sets[i]) >= min_classes]
    places = _places(class_sets, walk)
    seen = Counter(dict.fromkeys(places, 0))
    chosen: list[int] = []
    here = -1
    while len(chosen) < num_labeled:
        counted = [label for label in seen
                   if places[label] or not skip_exhausted]
        fewest = min((seen[label] for label in counted), default=0)
        rarest = [label for label in counted if seen[label] == fewest]
        ahead = [_next(places[label], here) for label in rarest
                 if places[label]]
        if not ahead:
            raise ValueError(_stuck(
                len(chosen), num_labeled, min_classes, rarest, fewest,
                left=len(walk) - len(chosen)))
        here = min(ahead, key=lambda place: (place - here - 1) % len(walk))
        chosen.append(walk[here])
        for label in class_sets[walk[here]]:
            seen[label] += 1
            del places[label][bisect_left(places[label], here)]
    return chosen


def _places(class_sets: Sequence[Collection[int]],
            walk: Sequence[int]) -> dict[int, list[int]]:
    """Where in the walk each class comes up, ascending."""
    places: dict[int, list[int]] = {
        label: [] for classes in class_sets for label in classes}
    for place, image in enumerate(walk):
        for label in class_sets[image]:
            places[label].append(place)
    return places


def select_random(num_images: int, num_labeled: int, seed: int) -> list[int]:
    """Choose the images to label at random.

    Like benchmarks that label a fraction of a dataset, whatever the classes.

    Args:
        num_images (int): Number of images. Sort them by name.
        num_labeled (int): Number of images to choose.
        seed (int): Of the draw.

    Returns:
        list[int]: Distinct numbers below ``num_images``; a smaller
        ``num_labeled`` gives the beginning of the same list.

    Raises:
        ValueError: There are not so many images.
    """
    if num_labeled > num_images:
        raise ValueError(f'cannot choose {num_labeled} labelled images from '
                         f'{num_images}')
    shuffled = _rng(seed).random(num_images).argsort(kind='stable')
    return shuffled[:num_labeled].tolist()


def _next(places: list[int], here: int) -> int:
    """First of the sorted places behind ``here`` in the round walk."""
    return places[bisect_right(places, here) % len(places)]


def _stuck(num_chosen: int, num_labeled: int, min_classes: int,
           rarest: list[int], fewest: int, left: int) -> str:
    message = (f'cannot choose {num_labeled} labelled images, only '
               f'{num_chosen}: ')
    if left == 0:
        return message + (f'no other image holds {min_classes} classes or '
                          'more; lower min_classes')
    return message + (
        f'the {left} other images with at least {min_classes} classes hold '
        f'none of the least-seen classes {sorted(rarest)} (each in {fewest} '
        'chosen images); lower min_classes or num_labeled, or go on without '
        'them (skip_exhausted)')


def sparsify_mask(mask: np.ndarray, fraction: float | None,
                  rng: np.random.Generator) -> np.ndarray:
    """Keep the labels of a small region per class, the rest becomes void.

    The region of a class starts at one random pixel of it and grows by 5x5
    dilations until its intersection with the class covers ``fraction`` of the
    pixels of the class ("Partial Labels Full Dataset"). The dilation runs
    freely over other classes, so it crosses gaps, may reach several parts of
    the class, and always arrives. What is dilated is a square in one piece;
    its intersection with the class, which is kept, need not be: a class that
    lies in several parts, or that winds, may be kept in several pieces.

    Dilating a pixel ``k`` times gives the square of all pixels within ``2 k``
    rows and columns; so the number of dilations follows from the distances
    of the pixels of the class, without dilating anything.

    Args:
        mask (np.ndarray): (H, W) of an integer type; 255 is void.
        fraction (float, optional): Share of each class to keep, in (0, 1].
            None keeps one pixel per class.
        rng (np.random.Generator): Draws one number per class.

    Returns:
        np.ndarray: (H, W), type of ``mask``: its labels where they are kept,
        255 elsewhere.

    Raises:
        ValueError: ``mask`` is not a label map, or ``fraction`` not a share.
    """
    if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
        raise ValueError('mask should be (H, W) of an integer type, got '
                         f'shape {mask.shape} of {mask.dtype}')
    if fraction is not None and not 0 < fraction <= 1:
        raise ValueError(
            f'fraction should be in (0, 1], or None for one pixel per '
            f'class; got {fraction}')
    sparse = np.full_like(mask, IGNORE_INDEX)
    by_class = mask.ravel().argsort(kind='stable')
    labels, starts, counts = np.unique(
        mask.ravel()[by_class], return_index=True, return_counts=True)
    seeds = (rng.random(len(labels)) * counts).astype(np.int64)
    for label, start, count, seed in zip(
            labels, starts, counts, seeds, strict=True):
        if label == IGNORE_INDEX:
            continue
        pixels = by_class[start:start + count]
        if fraction is None:
            kept = pixels[seed]
        else:
            kept = pixels[_grown(pixels, seed, fraction, mask.shape[1])]
        sparse.reshape(-1)[kept] = label
    return sparse


def _grown(pixels: np.ndarray, seed: int, fraction: float,
           width: int) -> np.ndarray:
    """Which pixels of a class the grown region covers.

    Args:
        pixels (np.ndarray): (N,) flat positions of the pixels of a class.
        seed (int): Place of the first pixel of the region in ``pixels``.
        fraction (float): Share of the ``N`` pixels to cover.
        width (int): Width of the image in pixels.

    Returns:
        np.ndarray: (N,) bool.
    """
    rows, columns = np.divmod(pixels, width)
    distance = np.maximum(
        abs(rows - rows[seed]), abs(columns - columns[seed]))
    dilations = -(-distance // GROWTH_STEP)
    covered = np.bincount(dilations).cumsum()
    return dilations <= np.searchsorted(covered, fraction * len(pixels))


def _rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))
