"""Patches of images for metric learning, sampled for a whole batch at once.

The "mix" step of `Mix-and-Match Tuning for Self-Supervised Semantic
Segmentation <https://arxiv.org/abs/1712.00661>`_.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.sampling import random_integers

# Boxes tried per wanted patch, and those of them that compete for its place.
TRIES_PER_PATCH = 64
CANDIDATES_PER_PATCH = 4
# Sampling points stay this far (in pixels) inside the outermost pixel centres
# of their box, lest rounding make them touch the pixel beyond.
INSET = 1e-3
# Values of images that are resampled at a time. Their copies as float and the
# sampling points stay small, which is twice as fast on a CPU.
CHUNK_VALUES = 2**23


def sample_patches(
    images: Tensor,
    labels: Tensor,
    num_per_image: int,
    size_range: tuple[int, int] = (64, 256),
    out_size: int = 128,
    generator: torch.Generator | None = None,
    *,
    background: int | None = None,
    background_share: float = 0.1,
    max_overlap: float = 0.6,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut random square patches and resize them to one size.

    Sides are uniform in ``size_range`` and places uniform among those whose
    central pixel, ``side // 2`` from the left and the top, is labelled. Where
    labelled pixels are so sparse that random boxes rarely hit one, centres
    are drawn from the labelled pixels first and then sides that fit.

    Args:
        images (Tensor): Shape (B, 3, H, W), uint8 or floating point.
        labels (Tensor): Classes, 255 where void, shape (B, H, W), int64.
        num_per_image (int): Patches of each image.
        size_range (tuple[int, int]): Smallest and largest side in pixels,
            both included. Defaults to (64, 256).
        out_size (int): Side s of the resized patches. Defaults to 128.
        generator (torch.Generator, optional): On the device of ``images``.
        background (int, optional): Class of which only ``background_share``
            is wanted, e.g. 0 on VOC. Defaults to None.
        background_share (float): Share of background patches in images that
            have both; a number that is not whole is rounded up or down at
            random, so that it holds on average. It comes before
            ``max_overlap``. Defaults to 0.1.
        max_overlap (float): Largest part of the smaller of two patches of an
            image that may lie in the other. Patches beyond it are taken only
            when no others of their kind are left. Defaults to 0.6.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Patches (P, 3, s, s), of the dtype of
        the images or float32 for integers; classes of their central pixels
        (P,), int64; boxes (P, 5), int64, of image index, x1, y1, x2 and y2 in
        pixels, x2 and y2 excluded. P is ``B * num_per_image``, less the
        patches of images without a labelled pixel on which the smallest patch
        could be centred. Patches of an image stand together.

    Raises:
        ValueError: If shapes do not fit, a patch can be larger than an image
            or a share is not between 0 and 1.
    """
    _check_arguments(images, labels, num_per_image, size_range, out_size)
    _check_shares(background_share=background_share, max_overlap=max_overlap)
    usable, boxes, classes = _draw_boxes(
        labels, num_per_image, size_range, generator, background,
        background_share, max_overlap)
    if len(usable) < len(images):
        images = images[usable]
    patches = _crop_and_resize(images, boxes, out_size)
    image_index = usable[:, None, None].expand(-1, num_per_image, 1)
    boxes = torch.cat([image_index, boxes], dim=2)
    return patches, classes.flatten().long(), boxes.flatten(0, 1)


def _draw_boxes(
        labels: Tensor, num_per_image: int, size_range: tuple[int, int],
        generator: torch.Generator | None, background: int | None,
        background_share: float,
        max_overlap: float) -> tuple[Tensor, Tensor, Tensor]:
    """Images that have patches (U,), boxes (U, n, 4), their classes (U, n)."""
    num_candidates = CANDIDATES_PER_PATCH * num_per_image
    boxes, classes, may_be_void = _propose_boxes(
        labels, TRIES_PER_PATCH * num_per_image, num_candidates, size_range,
        generator)
    # how many background patches each image is to give, (B, 1)
    quota = boxes.new_zeros((len(labels), 1))
    is_background = torch.zeros_like(classes, dtype=torch.bool)
    if background is not None:
        boxes, classes = _with_enough_objects(
            boxes, classes, labels, num_candidates, size_range, background,
            generator)
        quota = _round_at_random(
            background_share * num_per_image, quota, generator)
        is_background = classes == background
    chosen = _draw_candidates(classes, is_background, quota, num_per_image,
                              generator)
    boxes, classes = _take(boxes, chosen), classes.gather(1, chosen)
    chosen = _choose_apart(boxes, is_background.gather(1, chosen), quota,
                           num_per_image, max_overlap)
    boxes, classes = _take(boxes, chosen), classes.gather(1, chosen)

    usable = torch.arange(len(labels), device=labels.device)
    if may_be_void:
        usable = (classes[:, 0] != IGNORE_INDEX).nonzero().flatten()
        boxes, classes = boxes[usable], classes[usable]
    return usable, boxes, classes


def _check_arguments(images: Tensor, labels: Tensor, num_per_image: int,
                     size_range: Sequence[int], out_size: int) -> None:
    if (images.dim() != 4 or labels.dim() != 3
            or images[:, 0].shape != labels.shape):
        raise ValueError(
            'images (B, 3, H, W) and labels (B, H, W) must share B, H and W, '
            f'but got {tuple(images.shape)} and {tuple(labels.shape)}')
    if num_per_image < 1 or out_size < 1:
        raise ValueError('num_per_image and out_size must be at least 1, but '
                         f'got {num_per_image} and {out_size}')
    smallest, largest = size_range
    if not 2 <= smallest <= largest:
        raise ValueError('size_range must hold the smallest and the largest '
                         f'side, at least 2, but got {tuple(size_range)}')
    height, width = labels.shape[1:]
    if largest > min(height, width):
        raise ValueError(
            f'patches of up to {largest} pixels do not fit into images of '
            f'{height}x{width}; lower size_range={tuple(size_range)} or use '
            'larger crops')


def _check_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(
                f'{name} must lie between 0 and 1, but got {share}')


def _propose_boxes(
        labels: Tensor, num_boxes: int, num_needed: int,
        size_range: Sequence[int], generator: torch.Generator | None
) -> tuple[Tensor, Tensor, bool]:
    """Random boxes, around labelled pixels in images that have few of them.

    Returns:
        tuple[Tensor, Tensor, bool]: Boxes (B, num_boxes, 4), the classes of
        their central pixels (B, num_boxes), and whether there are images with
        fewer than ``num_needed`` labelled centres among boxes anywhere; only
        these can be void altogether.
    """
    boxes = _random_boxes(labels, num_boxes, size_range, generator)
    classes = _centre_labels(labels, boxes)
    num_usable = (classes != IGNORE_INDEX).sum(dim=1)
    sparse = (num_usable < num_needed).nonzero().flatten()
    if len(sparse) > 0:
        boxes[sparse] = _boxes_on_labelled_pixels(
            labels[sparse], num_boxes, size_range, generator)
        classes = _centre_labels(labels, boxes)
    return boxes, classes, len(sparse) > 0


def _with_enough_objects(
        boxes: Tensor, classes: Tensor, labels: Tensor, num_needed: int,
        size_range: Sequence[int], background: int,
        generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Lay half of the boxes around objects where few boxes lie on them.

    Returns:
        tuple[Tensor, Tensor]: Boxes (B, M, 4) and the classes of their
        central pixels (B, M).
    """
    objects = labels.masked_fill(labels == background, IGNORE_INDEX)
    num_on_objects = (_centre_labels(objects, boxes) != IGNORE_INDEX).sum(1)
    small = (num_on_objects < num_needed).nonzero().flatten()
    if len(small) == 0:
        return boxes, classes
    half = boxes.size(1) // 2
    around = _boxes_on_labelled_pixels(
        objects[small], half, size_range, generator)
    # An image without objects keeps its boxes.
    hits = _centre_labels(objects[small], around) != IGNORE_INDEX
    boxes[small, :half] = torch.where(
        hits[..., None], around, boxes[small, :half])
    return boxes, _centre_labels(labels, boxes)


def _round_at_random(number: float, like: Tensor,
                     generator: torch.Generator | None) -> Tensor:
    """Whole numbers around a number that are the number on average."""
    uniform = torch.rand(
        like.shape, dtype=torch.float64, device=like.device,
        generator=generator)
    return (number + uniform).floor().to(like.dtype)


def _take(boxes: Tensor, index: Tensor) -> Tensor:
    """Take boxes of each image, (B, M, 4) and (B, K) to (B, K, 4)."""
    return boxes.gather(1, index.unsqueeze(2).expand(-1, -1, 4))


def _random_boxes(labels: Tensor, num_boxes: int, size_range: Sequence[int],
                  generator: torch.Generator | None) -> Tensor:
    """Boxes anywhere in the images: x1, y1, x2, y2, shape (B, M, 4)."""
    num_images, height, width = labels.shape
    smallest, largest = size_range
    side = torch.randint(
        smallest, largest + 1, (num_images, num_boxes), device=labels.device,
        generator=generator)
    x1 = random_integers(width - side + 1, generator)
    y1 = random_integers(height - side + 1, generator)
    return torch.stack([x1, y1, x1 + side, y1 + side], dim=2)


def _boxes_on_labelled_pixels(labels: Tensor, num_boxes: int,
                              size_range: Sequence[int],
                              generator: torch.Generator | None) -> Tensor:
    """Boxes around labelled pixels drawn uniformly, shape (B, M, 4).

    Only pixels count that the smallest box can be centred on. Images without
    one give boxes of the smallest size in the top left corner, whose centre
    is void.
    """
    height, width = labels.shape[1:]
    smallest, largest = size_range
    before, after = smallest // 2, smallest - smallest // 2
    inner = labels[:, before:height - after + 1, before:width - after + 1]
    so_far = (inner != IGNORE_INDEX).flatten(1).cumsum(dim=1)
    total = so_far[:, -1:].expand(-1, num_boxes)
    rank = random_integers(total, generator)
    # The k-th labelled pixel is where the running count first exceeds k.
    pixel = torch.searchsorted(so_far, rank, right=True)
    pixel = torch.where(total > 0, pixel, 0)
    x = pixel % inner.size(2) + before
    y = pixel // inner.size(2) + before

    # side // 2 pixels must fit before the centre and the rest from it on.
    room = torch.stack([2 * x + 1, 2 * y + 1, 2 * (width - x),
                        2 * (height - y)]).amin(dim=0).clamp(max=largest)
    side = smallest + random_integers(room - smallest + 1, generator)
    x1, y1 = x - side // 2, y - side // 2
    return torch.stack([x1, y1, x1 + side, y1 + side], dim=2)


def _centre_labels(labels: Tensor, boxes: Tensor) -> Tensor:
    """Class of the central pixel of each box, shape (B, M)."""
    x1, y1, x2, y2 = boxes.unbind(dim=2)
    x, y = x1 + (x2 - x1) // 2, y1 + (y2 - y1) // 2
    return labels.flatten(1).gather(1, y * labels.size(2) + x)


def _draw_candidates(centre_labels: Tensor, is_background: Tensor,
                     quota: Tensor, num_boxes: int,
                     generator: torch.Generator | None) -> Tensor:
    """Draw labelled boxes of each image without replacement, in random order.

    There are ``CANDIDATES_PER_PATCH`` for each place, background or not.
    Further boxes fill up where one kind has too few, void ones at the end.

    Args:
        centre_labels (Tensor): Classes of boxes, shape (B, M).
        is_background (Tensor): Of which kind they are, (B, M), bool.
        quota (Tensor): Places for background, shape (B, 1), int64.
        num_boxes (int): Places in all.
        generator (torch.Generator, optional): Source of randomness.

    Returns:
        Tensor: Box numbers, shape (B, CANDIDATES_PER_PATCH * num_boxes),
        int64.
    """
    arrival = torch.rand(
        centre_labels.shape, dtype=torch.float64, device=centre_labels.device,
        generator=generator)
    void = centre_labels == IGNORE_INDEX
    arrival, boxes = arrival.masked_fill(void, torch.inf).sort(dim=1)
    kind = is_background.gather(1, boxes)
    rank = torch.where(kind, kind.cumsum(dim=1), (~kind).cumsum(dim=1))
    places = torch.where(kind, quota, num_boxes - quota)
    fills_up = (rank > CANDIDATES_PER_PATCH * places) | arrival.isinf()
    order = fills_up.byte().argsort(dim=1, stable=True)
    return boxes.gather(1, order[:, :CANDIDATES_PER_PATCH * num_boxes])


def _choose_apart(boxes: Tensor, is_background: Tensor, quota: Tensor,
                  num_boxes: int, max_overlap: float) -> Tensor:
    """Choose boxes in their order, leaving out those that overlap too much.

    One step for each place, for all images at once. When only overlapping
    boxes are left, the least overlapping one is chosen; when only boxes of
    the kind are left that has its share already, one of these.

    Args:
        boxes (Tensor): Shape (B, K, 4), K >= num_boxes.
        is_background (Tensor): Of which kind boxes are, (B, K), bool.
        quota (Tensor): How many of the chosen boxes are to be background,
            shape (B, 1), int64.
        num_boxes (int): Boxes to choose in each image.
        max_overlap (float): Largest part of the smaller box that may lie in
            one chosen before.

    Returns:
        Tensor: Box numbers, shape (B, num_boxes), int64.
    """
    overlap = pairwise_overlap(boxes)
    num_images, num_candidates = boxes.shape[:2]
    order = torch.linspace(
        0, 1, num_candidates, dtype=torch.float64, device=boxes.device)
    worst = overlap.new_zeros(num_images, num_candidates)
    taken = torch.zeros_like(worst, dtype=torch.bool)
    left = torch.where(is_background, quota, num_boxes - quota)  # of its kind
    chosen = []
    for _ in range(num_boxes):
        cost = torch.where(worst > max_overlap, 1 + worst, order)
        cost = torch.where(left > 0, cost, 3 + cost)  # 0-1, 1-2; 3-4, 4-5
        best = cost.masked_fill(taken, torch.inf).argmin(dim=1, keepdim=True)
        taken.scatter_(1, best, True)
        left -= (is_background == is_background.gather(1, best)).long()
        of_best = best.unsqueeze(2).expand(-1, 1, num_candidates)
        worst = worst.maximum(overlap.gather(1, of_best).squeeze(1))
        chosen.append(best)
    return torch.cat(chosen, dim=1)


def pairwise_overlap(boxes: Tensor) -> Tensor:
    """Part of the smaller box that lies in the other one, for all pairs.

    Args:
        boxes (Tensor): x1, y1, x2 and y2, shape (B, K, 4).

    Returns:
        Tensor: Shape (B, K, K), float64, between 0 and 1.
    """
    low, high = boxes[..., :2].double(), boxes[..., 2:].double()
    area = (high - low).prod(dim=2)
    shared = (high.unsqueeze(2).minimum(high.unsqueeze(1)) -
              low.unsqueeze(2).maximum(low.unsqueeze(1))).clamp(min=0)
    smaller = area.unsqueeze(2).minimum(area.unsqueeze(1))
    return shared.prod(dim=3) / smaller


def _crop_and_resize(images: Tensor, boxes: Tensor,
                     out_size: int) -> Tensor:
    """Bilinear resizing of boxes as if each had been cropped before.

    Args:
        images (Tensor): Shape (B, 3, H, W).
        boxes (Tensor): x1, y1, x2, y2, shape (B, n, 4), inside the images.
        out_size (int): Side s of the patches.

    Returns:
        Tensor: Shape (B * n, 3, s, s).
    """
    num_images, num_boxes = boxes.shape[:2]
    dtype = images.dtype if images.is_floating_point() else torch.float32
    patches = images.new_empty(
        (num_images, num_boxes, images.size(1), out_size, out_size),
        dtype=dtype)
    chunk = max(1, CHUNK_VALUES // images[:1].numel()) if num_images else 1
    for start in range(0, num_images, chunk):
        part = slice(start, start + chunk)
        patches[part] = _resample(images[part], boxes[part], out_size)
    return patches.flatten(0, 1)


def _resample(images: Tensor, boxes: Tensor, out_size: int) -> Tensor:
    """Resample all boxes of some images at once.

    Args:
        images (Tensor): Shape (B, 3, H, W).
        boxes (Tensor): x1, y1, x2, y2, shape (B, n, 4), inside the images.
        out_size (int): Side s of the patches.

    Returns:
        Tensor: Shape (B, n, 3, s, s), float32 at least.
    """
    num_images, num_boxes = boxes.shape[:2]
    channels, *size = images.shape[1:]
    # Grids need float32 at least to tell apart the pixels of a large image.
    images = images.to(torch.promote_types(images.dtype, torch.float32))

    step = torch.arange(out_size, device=images.device, dtype=images.dtype)
    axes = []
    for axis, length in enumerate(reversed(size)):  # x, then y
        low = boxes[..., axis].to(images.dtype)
        side = (boxes[..., axis + 2] - boxes[..., axis]).to(images.dtype)
        inside = (step + 0.5) * (side / out_size)[..., None] - 0.5
        inside = inside.minimum((side - 1 - INSET)[..., None]).clamp(min=INSET)
        pixel = low[..., None] + inside  # (B, n, s)
        axes.append((2 * pixel + 1) / length - 1)
    shape = (num_images, num_boxes, out_size, out_size)
    grid = torch.stack([axes[0].unsqueeze(2).expand(shape),
                        axes[1].unsqueeze(3).expand(shape)], dim=4)
    # One tall picture of all patches of an image, so that no image is copied.
    patches = F.grid_sample(images, grid.flatten(1, 2), align_corners=False)
    patches = patches.view(num_images, channels, num_boxes, out_size, out_size)
    return patches.transpose(1, 2)
