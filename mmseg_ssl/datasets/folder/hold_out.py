"""Which of the labelled images to validate on."""
from collections.abc import Collection, Sequence

import numpy as np

from mmseg_ssl.datasets.splits import select_random


def hold_out(class_sets: Sequence[Collection[int]],
             share: float) -> list[int]:
    """Choose the images to validate on, the same ones in every call.

    ``share`` of the images, rounded, at least one and not all. One after
    another, the image is taken that holds most of the classes that the images
    taken so far show least often; among equals the first of a shuffled list.
    An image whose class would be left without a training image is not taken,
    so there may be fewer. If that leaves none, the image goes that takes
    fewest classes from training.

    Args:
        class_sets (Sequence[Collection[int]]): Distinct classes in each
            image, void not among them. The order matters: sort the images by
            name.
        share (float): Of the images, between 0 and 1.

    Returns:
        list[int]: Indices into ``class_sets``, ascending.

    Raises:
        ValueError: There are fewer than two images, or ``share`` is no share.
    """
    count = len(class_sets)
    if count < 2:
        raise ValueError(
            f'{count} image with labels: at least two are needed, one to '
            'train on and one to validate on')
    if not 0 < share < 1:
        raise ValueError(f'the share of images to validate on should be '
                         f'between 0 and 1, got {share}')
    num_classes = 1 + max((max(c) for c in class_sets if c), default=0)
    present = np.zeros((count, num_classes), bool)
    for row, classes in zip(present, class_sets, strict=True):
        row[list(classes)] = True
    order = np.empty(count, int)
    order[select_random(count, count, seed=0)] = range(count)
    wanted = min(count - 1, max(1, round(share * count)))

    taken: list[int] = []
    while len(taken) < wanted:
        image = _next(present, order, taken)
        if image is None:
            break
        taken.append(image)
    return sorted(taken or [_least_missed(present, order)])


def _next(present: np.ndarray, order: np.ndarray,
          taken: list[int]) -> int | None:
    """The next image to take, None if training needs all that are left.

    Args:
        present (np.ndarray): (N, C) bool, whether an image holds a class.
        order (np.ndarray): (N,) place of each image in the shuffled list.
        taken (list[int]): Images taken so far.
    """
    in_val = present[taken].sum(0)
    in_train = present.sum(0) - in_val
    free = ~(present & (in_train < 2)).any(1)
    free[taken] = False
    if not free.any():
        return None
    offered = present[free].any(0)
    fewest = in_val[offered].min() if offered.any() else 0
    gain = (present & offered & (in_val == fewest)).sum(1)
    return int(np.lexsort((order, -gain, ~free))[0])


def _least_missed(present: np.ndarray, order: np.ndarray) -> int:
    """The image that is the only one of its class for fewest classes."""
    missed = (present & (present.sum(0) < 2)).sum(1)
    return int(np.lexsort((order, missed))[0])
