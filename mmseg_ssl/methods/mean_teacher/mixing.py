"""CutOut, CutMix and ClassMix on a pseudo-labelled batch."""
from collections.abc import Callable

import torch
from torch import Tensor

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.augmentation import PseudoLabeled

Mixing = Callable[[PseudoLabeled], PseudoLabeled]


def random_rectangles(batch_size: int,
                      height: int,
                      width: int,
                      device: torch.device,
                      generator: torch.Generator | None = None) -> Tensor:
    """One rectangle per sample, half the image's area, random aspect.

    Args:
        batch_size (int): Number of rectangles, B.
        height (int): Image height in pixels, H.
        width (int): Image width in pixels, W.
        device (torch.device): Device of the result.
        generator (torch.Generator, optional): Source of randomness.

    Returns:
        Tensor: True inside the rectangle, shape (B, H, W), bool.
    """
    relative_width, left, top = torch.rand(
        3, batch_size, 1, device=device, generator=generator)
    rect_width = width * (1 + relative_width) / 2
    rect_height = height * width / 2 / rect_width
    left = left * (width - rect_width)
    top = top * (height - rect_height)
    x = torch.arange(width, device=device) + 0.5  # pixel centres
    y = torch.arange(height, device=device) + 0.5
    columns = (x >= left) & (x < left + rect_width)  # (B, W)
    rows = (y >= top) & (y < top + rect_height)  # (B, H)
    return rows.unsqueeze(2) & columns.unsqueeze(1)


def random_class_masks(labels: Tensor,
                       generator: torch.Generator | None = None) -> Tensor:
    """Pixels of a random half of each sample's classes, rounded up.

    Args:
        labels (Tensor): Shape (B, H, W), int64, 255 = void.
        generator (torch.Generator, optional): Source of randomness.

    Returns:
        Tensor: True where the class is selected, shape (B, H, W), bool. Void
        pixels are never selected.
    """
    flat = labels.flatten(1)
    present = torch.zeros(
        len(labels), IGNORE_INDEX + 1, dtype=torch.bool, device=labels.device)
    present.scatter_(1, flat, True)
    present[:, IGNORE_INDEX] = False
    order = torch.rand(
        present.shape, device=labels.device, generator=generator)
    order = order.masked_fill(~present, 2.0)  # absent classes come last
    rank = order.argsort(dim=1).argsort(dim=1)
    num_selected = (present.sum(dim=1, keepdim=True) + 1) // 2
    selected = rank < num_selected
    return selected.gather(1, flat).view_as(labels)


def _check_partners(batch_size: int) -> None:
    if batch_size < 2:
        raise ValueError(
            'CutMix and ClassMix mix the images of a batch: use at least 2 '
            'unlabelled images per process (train_dataloader.batch_size), or '
            "mixing='cutout'")


def _paste(batch: PseudoLabeled, mask: Tensor) -> PseudoLabeled:
    """Paste the masked pixels of each sample onto the next one, cyclically."""
    _check_partners(len(batch.images))
    images, labels, confidence = (x.roll(-1, dims=0) for x in batch)
    return PseudoLabeled(
        images=torch.where(mask.unsqueeze(1), batch.images, images),
        labels=torch.where(mask, batch.labels, labels),
        confidence=torch.where(mask, batch.confidence, confidence))


def cutout(batch: PseudoLabeled,
           generator: torch.Generator | None = None) -> PseudoLabeled:
    """Void a rectangle of half the area in each image.

    From `Semi-supervised semantic segmentation needs strong, varied
    perturbations <https://arxiv.org/abs/1906.01916>`_.
    """
    batch_size, height, width = batch.labels.shape
    mask = random_rectangles(
        batch_size, height, width, batch.labels.device, generator)
    return PseudoLabeled(
        images=batch.images.masked_fill(mask.unsqueeze(1), 0),
        labels=batch.labels.masked_fill(mask, IGNORE_INDEX),
        confidence=batch.confidence.masked_fill(mask, 0))


def cutmix(batch: PseudoLabeled,
           generator: torch.Generator | None = None) -> PseudoLabeled:
    """Paste a rectangle of half the area of each image onto the next one.

    From `Semi-supervised semantic segmentation needs strong, varied
    perturbations <https://arxiv.org/abs/1906.01916>`_.
    """
    batch_size, height, width = batch.labels.shape
    mask = random_rectangles(
        batch_size, height, width, batch.labels.device, generator)
    return _paste(batch, mask)


def classmix(batch: PseudoLabeled,
             generator: torch.Generator | None = None) -> PseudoLabeled:
    """Paste half of the classes of each image onto the next one.

    From `ClassMix: Segmentation-Based Data Augmentation for Semi-Supervised
    Learning <https://arxiv.org/abs/2007.07936>`_.
    """
    return _paste(batch, random_class_masks(batch.labels, generator))


MIXINGS: dict[str, Mixing] = dict(
    cutout=cutout, cutmix=cutmix, classmix=classmix)


def check_batch_size(mixing: Mixing | None, batch_size: int) -> None:
    """See whether batches are large enough to be mixed.

    Args:
        mixing (callable, optional): One of :data:`MIXINGS`, or None.
        batch_size (int): Unlabelled images per process.

    Raises:
        ValueError: An image would have no partner.
    """
    if mixing in (cutmix, classmix):
        _check_partners(batch_size)


def get_mixing(name: str) -> Mixing:
    """Look up a mixing function by its name.

    Raises:
        ValueError: If the name is unknown.
    """
    try:
        return MIXINGS[name.lower()]
    except (KeyError, AttributeError):
        raise ValueError(f'unknown mixing {name!r}: use one of '
                         f'{sorted(MIXINGS)}, or None for none') from None
