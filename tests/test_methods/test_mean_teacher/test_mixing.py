import pytest
import torch

from mmseg_ssl.datasets.augmentation import PseudoLabeled
from mmseg_ssl.methods.mean_teacher.mixing import (
    MIXINGS,
    classmix,
    cutmix,
    cutout,
    get_mixing,
    random_class_masks,
    random_rectangles,
)


def numbered_batch(batch_size=4, height=24, width=36) -> PseudoLabeled:
    """Pixels that know where they came from: 1000 * sample + place."""
    place = torch.arange(height * width).view(1, height, width)
    sample = torch.arange(batch_size).view(-1, 1, 1)
    number = 1000 * sample + place
    assert number.max() < 2**24  # exact in float32
    return PseudoLabeled(
        images=number.float().unsqueeze(1).repeat(1, 3, 1, 1),
        labels=(place % 5).repeat(batch_size, 1, 1),
        confidence=number.double())


def chosen(mixed: PseudoLabeled, batch: PseudoLabeled) -> torch.Tensor:
    """Where a pixel stayed (True) or came from the next sample (False).

    Fails where it is neither, or where image, label and confidence disagree.
    """
    following = PseudoLabeled(*(torch.cat([x[1:], x[:1]]) for x in batch))
    stayed = mixed.confidence == batch.confidence
    for new, own, other in zip(mixed, batch, following):
        mask = stayed.unsqueeze(1) if new.dim() == 4 else stayed
        assert torch.equal(new, torch.where(mask, own, other))
    return stayed


def bounding_box(mask: torch.Tensor) -> tuple[int, int, int, int]:
    """Rows and columns (first, last) of the True pixels of (H, W)."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return (int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1]))


@pytest.mark.parametrize('height, width', [(32, 48), (33, 33), (120, 160)])
def test_rectangles_have_half_the_area_within_a_row_or_column(height, width):
    masks = random_rectangles(500, height, width, torch.device('cpu'))
    sizes = []
    for mask in masks:
        top, bottom, left, right = bounding_box(mask)
        assert mask[top:bottom + 1, left:right + 1].all()  # no holes
        sizes.append((bottom - top + 1, right - left + 1))
    rows, columns = torch.tensor(sizes, dtype=torch.double).unbind(1)
    # half the area lies between a rectangle of one row and column less and
    # one of a row and column more
    half = height * width / 2
    assert ((rows - 1) * (columns - 1) < half).all()
    assert ((rows + 1) * (columns + 1) > half).all()
    assert (rows * columns).mean() == pytest.approx(half, rel=0.01)


def test_rectangles_vary_in_aspect_and_reach_every_place():
    height, width = 32, 48
    masks = random_rectangles(2000, height, width, torch.device('cpu'))
    boxes = torch.tensor([bounding_box(mask) for mask in masks])
    top, bottom, left, right = boxes.unbind(1)
    widths = (right - left + 1).unique()
    assert widths[0] <= width / 2 + 1
    assert widths[-1] >= width - 1
    assert len(widths) >= width / 2 - 2
    assert (top == 0).any() and (bottom == height - 1).any()
    assert (left == 0).any() and (right == width - 1).any()
    # by symmetry the share of covered images is the same for mirrored pixels
    covered = masks.double().mean(0)
    assert torch.allclose(covered, covered.flip(0), atol=0.06)
    assert torch.allclose(covered, covered.flip(1), atol=0.06)
    assert covered.min() > 0


def test_rectangles_differ_between_samples_and_follow_the_generator():
    masks, again = (
        random_rectangles(8, 32, 48, torch.device('cpu'),
                          torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(masks, again)
    assert len({bounding_box(mask) for mask in masks}) > 4


def test_cutout_voids_a_rectangle_and_leaves_the_rest():
    batch = numbered_batch()
    mixed = cutout(batch)
    void = mixed.labels == 255
    assert (void.sum((1, 2)) > 0).all()
    for mask in void:
        top, bottom, left, right = bounding_box(mask)
        assert mask[top:bottom + 1, left:right + 1].all()
    assert (mixed.confidence[void] == 0).all()
    assert (mixed.images.movedim(1, 3)[void] == 0).all()
    for new, old in zip(mixed, batch):
        new = new.movedim(1, 3) if new.dim() == 4 else new
        old = old.movedim(1, 3) if old.dim() == 4 else old
        assert torch.equal(new[~void], old[~void])


def test_cutout_works_on_a_single_image():
    assert (cutout(numbered_batch(batch_size=1)).labels == 255).any()


@pytest.mark.parametrize('batch_size', [2, 3, 5])
def test_cutmix_pastes_a_rectangle_onto_the_next_image(batch_size):
    batch = numbered_batch(batch_size)
    for stayed in chosen(cutmix(batch), batch):
        top, bottom, left, right = bounding_box(stayed)
        assert stayed[top:bottom + 1, left:right + 1].all()
        assert 0 < stayed.sum() < stayed.numel()


def labels_of_classes(classes_per_sample: list[list[int]]) -> torch.Tensor:
    """Label maps (B, 12, 20) that hold the given classes, shuffled."""
    maps = []
    for classes in classes_per_sample:
        repeated = torch.tensor(classes).repeat(240 // len(classes) + 1)[:240]
        maps.append(repeated[torch.randperm(240)].view(12, 20))
    return torch.stack(maps)


CLASSES = [[0], [4, 7], [1, 2, 3], [0, 5, 9, 254], [2, 255], [255]]


def test_classmix_pastes_half_of_the_classes_rounded_up():
    batch = numbered_batch(len(CLASSES), 12, 20)._replace(
        labels=labels_of_classes(CLASSES))
    stayed = chosen(classmix(batch), batch)
    for mask, labels, classes in zip(stayed, batch.labels, CLASSES):
        selected = set(labels[mask].tolist())
        known = [c for c in classes if c != 255]
        assert len(selected) == (len(known) + 1) // 2
        assert 255 not in selected
        # all pixels of a selected class, and only those
        assert torch.equal(mask, torch.isin(labels, torch.tensor(
            sorted(selected), dtype=torch.long)))


def test_classmix_selects_every_class_equally_often():
    labels = labels_of_classes([[1, 3, 8, 20, 255]]).repeat(4000, 1, 1)
    masks = random_class_masks(labels)
    share = torch.stack([
        (masks & (labels == c)).flatten(1).any(1).double().mean()
        for c in (1, 3, 8, 20)])
    # binomial with p = 1/2: five standard deviations
    assert ((share - 0.5).abs() < 5 * (0.25 / 4000)**0.5).all()
    # each of the 6 pairs is equally likely, not only each class
    pair = sum(2**i * (masks & (labels == c)).flatten(1).any(1).long()
               for i, c in enumerate((1, 3, 8, 20)))
    counts = torch.bincount(pair, minlength=16)
    counts = counts[counts > 0].double()
    assert len(counts) == 6
    chi_square = ((counts - 4000 / 6)**2 / (4000 / 6)).sum()
    assert chi_square < 20.5  # 5 degrees of freedom, p = 0.001


def test_classmix_draws_per_sample_and_follows_the_generator():
    labels = labels_of_classes([list(range(10))]).repeat(6, 1, 1)
    masks, again = (
        random_class_masks(labels, torch.Generator().manual_seed(1))
        for _ in range(2))
    assert torch.equal(masks, again)
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) > 3


@pytest.mark.parametrize('mixing', [cutmix, classmix])
def test_a_single_image_cannot_be_mixed(mixing):
    with pytest.raises(ValueError, match='at least 2 unlabelled images'):
        mixing(numbered_batch(batch_size=1))


@pytest.mark.parametrize('mixing', [cutout, cutmix, classmix])
def test_mixing_leaves_its_input_alone(mixing):
    batch, untouched = numbered_batch(), numbered_batch()
    mixing(batch)
    for value, expected in zip(batch, untouched):
        assert torch.equal(value, expected)


def test_mixing_is_found_by_name():
    assert get_mixing('cutout') is cutout
    assert get_mixing('CutMix') is cutmix
    assert get_mixing('ClassMix') is classmix


@pytest.mark.parametrize('name', ['mixup', '', 3])
def test_unknown_mixing_lists_the_known_ones(name):
    with pytest.raises(ValueError) as error:
        get_mixing(name)
    assert repr(name) in str(error.value)
    for known in MIXINGS:
        assert known in str(error.value)
