"""Patches: where they lie, what they are called, what they show."""
import cv2
import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest
from torch import Tensor

from mmseg_ssl.methods.mix_and_match import patches as module
from mmseg_ssl.methods.mix_and_match import sample_patches

VOID = 255


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scene(num_images: int = 4, size: tuple[int, int] = (96, 120),
          num_classes: int = 5) -> tuple[Tensor, Tensor]:
    """Random uint8 images and labels in blocks of 8 pixels, some void."""
    images = torch.randint(0, 256, (num_images, 3, *size), dtype=torch.uint8)
    blocks = torch.randint(num_classes, (num_images, size[0] // 8,
                                         size[1] // 8))
    blocks[torch.rand(blocks.shape) < 0.3] = VOID
    return images, blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)


def centres(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Image, row and column of the central pixels."""
    image, x1, y1, x2, y2 = boxes.t()
    return image, y1 + (y2 - y1) // 2, x1 + (x2 - x1) // 2


def largest_overlap(boxes: Tensor) -> list[float]:
    """For each patch, the most that it shares with an earlier one."""
    rows, found = boxes.tolist(), []
    for k, (image, *a) in enumerate(rows):
        shares = [0.]
        for other, *b in rows[:k]:
            width = min(a[2], b[2]) - max(a[0], b[0])
            height = min(a[3], b[3]) - max(a[1], b[1])
            if other == image and width > 0 and height > 0:
                smaller = min(a[2] - a[0], b[2] - b[0])**2
                shares.append(width * height / smaller)
        found.append(max(shares))
    return found


def test_ten_thousand_draws():
    """Labels, bounds and sizes of 10,000 patches."""
    images, labels = scene(num_images=20)
    for seed in range(50):
        patches, classes, boxes = sample_patches(
            images, labels, 10, (16, 40), 4, seeded(seed))
        assert patches.shape == (200, 3, 4, 4)
        assert classes.shape == (200, )
        assert (classes != VOID).all()
        assert torch.equal(classes, labels[centres(boxes)])
        assert torch.equal(boxes[:, 0], torch.arange(20).repeat_interleave(10))
        _, x1, y1, x2, y2 = boxes.t()
        assert torch.equal(x2 - x1, y2 - y1)
        assert (x2 - x1).min() >= 16 and (x2 - x1).max() <= 40
        assert x1.min() >= 0 and y1.min() >= 0
        assert x2.max() <= 120 and y2.max() <= 96


def test_sizes_and_places_are_uniform():
    """Without void and limit, a side is uniform and so is its place."""
    images = torch.zeros(50, 3, 60, 90)
    labels = torch.zeros(50, 60, 90, dtype=torch.int64)
    boxes = torch.cat([
        sample_patches(images, labels, 4, (10, 29), 2, seeded(seed),
                       max_overlap=1.0)[2] for seed in range(40)])
    _, x1, y1, x2, _ = boxes.t()
    side = x2 - x1
    assert chisquare(torch.bincount(side - 10, minlength=20)).pvalue > 1e-3
    for first, length in ((x1, 90), (y1, 60)):
        share = (first + torch.rand(len(first))) / (length - side + 1)
        assert kstest(share, 'uniform').pvalue > 1e-3


def test_the_whole_image_can_be_a_patch():
    images = torch.rand(1, 3, 32, 32)
    labels = torch.zeros(1, 32, 32, dtype=torch.int64)
    patches, _, boxes = sample_patches(images, labels, 1, (32, 32), 32)
    assert boxes.tolist() == [[0, 0, 0, 32, 32]]
    torch.testing.assert_close(patches, images, atol=5e-3, rtol=0)


@pytest.mark.parametrize('size_range', [(64, 64), (10, 30), (20, 80)])
def test_content_of_a_slow_crop_and_resize(size_range):
    """OpenCV's bilinear resizing of each crop, to one grey level."""
    images, labels = scene()
    patches, _, boxes = sample_patches(images, labels, 8, size_range, 32)
    assert patches.dtype == torch.float32
    for patch, (image, x1, y1, x2, y2) in zip(patches, boxes.tolist()):
        crop = images[image, :, y1:y2, x1:x2].permute(1, 2, 0).numpy()
        expected = cv2.resize(crop.astype(np.float32), (32, 32))
        difference = patch.permute(1, 2, 0).numpy() - expected
        assert np.abs(difference).max() < 1


@pytest.mark.parametrize('size', [(96, 120), (1024, 2048)])
def test_nothing_outside_a_box_is_read(size):
    images = torch.full((1, 1, *size), torch.nan)
    sides = torch.tensor([2, 3, 17, 40, 90])
    x1 = torch.tensor([0, 7, 33, 80, size[1] - 90])
    y1 = torch.tensor([0, 70, 53, 9, size[0] - 90])
    for side, x, y in zip(sides, x1, y1):
        box = torch.stack([x, y, x + side, y + side])
        images.fill_(torch.nan)
        images[..., y:y + side, x:x + side] = 1
        for out_size in (1, 16, 50, 200):
            patch = module._crop_and_resize(images, box.view(1, 1, 4),
                                            out_size)
            torch.testing.assert_close(patch, torch.ones_like(patch))


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32,
                                   torch.float64])
def test_floating_point_images_keep_their_type(dtype):
    images, labels = scene()
    expected, *_ = sample_patches(images, labels, 3, (20, 40), 16, seeded(0))
    patches, *_ = sample_patches(
        images.to(dtype), labels, 3, (20, 40), 16, seeded(0))
    assert patches.dtype == dtype
    torch.testing.assert_close(patches.float(), expected, atol=0.5, rtol=0)


def test_overlapping_patches_are_dropped_while_others_are_left():
    images, labels = scene(num_images=30, size=(240, 240))
    for limit in (0.2, 0.6):
        boxes = sample_patches(images, labels, 8, (20, 60), 2, seeded(0),
                               max_overlap=limit)[2]
        assert max(largest_overlap(boxes)) <= limit
    boxes = sample_patches(images, labels, 8, (20, 60), 2, seeded(0),
                           max_overlap=1.0)[2]
    assert max(largest_overlap(boxes)) > 0.9


def test_a_crowded_image_still_gives_all_its_patches():
    """20 patches of 40 pixels cannot lie apart in 60 x 60."""
    images, labels = scene(num_images=2, size=(64, 64))
    patches, _, boxes = sample_patches(images, labels, 20, (40, 40), 2,
                                       max_overlap=0.3)
    assert len(patches) == 40
    assert len(boxes.unique(dim=0)) == 40
    assert max(largest_overlap(boxes)) > 0.3


@pytest.mark.parametrize('share', [0.1, 0.5])
def test_background_share(share):
    """Four fifths of the pixels are background."""
    images = torch.zeros(40, 3, 100, 100)
    labels = torch.zeros(40, 100, 100, dtype=torch.int64)
    labels[:, :20] = 3
    labels[:, 50] = VOID
    seen = torch.cat([
        sample_patches(images, labels, 5, (10, 12), 2, seeded(seed),
                       background=0, background_share=share)[1]
        for seed in range(20)])
    deviation = (share * (1 - share) / len(seen))**0.5
    found = (seen == 0).double().mean().item()
    assert found == pytest.approx(share, abs=0.02 + 3 * deviation)


def test_background_share_of_each_image_is_a_whole_number():
    """5 patches, a tenth: half of the images give one, the others none."""
    images = torch.zeros(200, 3, 60, 60)
    labels = torch.zeros(200, 60, 60, dtype=torch.int64)
    labels[:, :30] = 3
    classes = sample_patches(images, labels, 5, (10, 12), 2, background=0)[1]
    count = (classes == 0).view(200, 5).sum(dim=1)
    assert set(count.tolist()) == {0, 1}
    assert count.double().mean() == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize('side', [16, 60])
def test_background_share_beside_a_small_object(side):
    """Patches on it overlap; they come before more background, all the same.

    Patches of the paper's sizes in an image of its size; few random boxes
    have their centre on the object.
    """
    images = torch.zeros(20, 1, 512, 512)
    labels = torch.zeros(20, 512, 512, dtype=torch.int64)
    labels[:, 100:100 + side, 300:300 + side] = 7
    labels[19] = 0  # nothing but background
    _, classes, boxes = sample_patches(
        images, labels, 10, (64, 256), 4, seeded(0), background=0)
    assert torch.equal(classes, labels[centres(boxes)])
    count = (classes == 0).view(20, 10).sum(dim=1)
    assert count.tolist() == [1] * 19 + [10]
    sides = (boxes[:190, 3] - boxes[:190, 1])[classes[:190] == 7]
    assert sides.min() < 80 and sides.max() > 180
    assert max(largest_overlap(boxes[:10])) > 0.6


def test_background_when_an_image_has_one_kind_only():
    labels = torch.zeros(2, 50, 50, dtype=torch.int64)
    labels[1] = 4
    for share in (0., 0.1, 1.):
        _, classes, _ = sample_patches(
            torch.zeros(2, 3, 50, 50), labels, 3, (10, 20), 2,
            background=0, background_share=share)
        assert classes.tolist() == [0, 0, 0, 4, 4, 4]


def test_the_extreme_shares_avoid_one_kind():
    _, labels = scene(num_images=10)
    for share in (0., 1.):
        classes = sample_patches(
            torch.zeros(10, 3, 96, 120), labels, 4, (10, 20), 2,
            background=2, background_share=share)[1]
        assert ((classes == 2) == (share == 1)).all()


def test_a_single_labelled_pixel_is_found():
    """Rejection would need thousands of draws."""
    images = torch.zeros(3, 3, 200, 200)
    labels = torch.full((3, 200, 200), VOID)
    labels[0] = 1
    labels[1, 15, 180] = 6
    labels[2, 120, 100] = 8
    patches, classes, boxes = sample_patches(images, labels, 4, (30, 90), 8)
    assert patches.shape == (12, 3, 8, 8)
    assert classes.tolist() == [1] * 4 + [6] * 4 + [8] * 4
    image, y, x = centres(boxes)
    assert torch.equal(labels[image, y, x], classes)
    assert boxes[:, 1:].min() >= 0 and boxes[:, 1:].max() <= 200
    side = boxes[:, 3] - boxes[:, 1]
    assert side.min() >= 30 and side[8:].max() <= 90
    assert side[4:8].max() <= 31  # the place leaves no room for more


def test_sparse_centres_are_uniform():
    labels = torch.full((1, 100, 100), VOID)
    labels[0, 40, 30], labels[0, 55, 70], labels[0, 60, 50] = 0, 1, 2
    seen = torch.cat([
        sample_patches(torch.zeros(1, 3, 100, 100), labels, 1, (10, 20), 2,
                       seeded(seed))[1] for seed in range(300)])
    assert chisquare(torch.bincount(seen)).pvalue > 1e-3


def test_images_without_a_usable_centre_give_no_patch():
    images, labels = scene()
    labels[1] = VOID
    labels[2] = VOID
    labels[2, :5] = 1  # too close to the border for a patch of 16
    patches, classes, boxes = sample_patches(images, labels, 3, (16, 40), 8)
    assert boxes[:, 0].tolist() == [0, 0, 0, 3, 3, 3]
    assert torch.equal(classes, labels[centres(boxes)])
    for patch, (image, x1, y1, x2, y2) in zip(patches, boxes.tolist()):
        crop = images[image, :, y1:y2, x1:x2].float()
        assert patch.mean() == pytest.approx(crop.mean().item(), abs=25)
    nothing = sample_patches(images, torch.full_like(labels, VOID), 3,
                             (16, 40), 8)
    assert [tuple(x.shape) for x in nothing] == [(0, 3, 8, 8), (0, ), (0, 5)]


def test_a_generator_decides_everything():
    images, labels = scene()
    first = sample_patches(images, labels, 3, (16, 40), 8, seeded(5))
    torch.rand(9)
    again = sample_patches(images, labels, 3, (16, 40), 8, seeded(5))
    other = sample_patches(images, labels, 3, (16, 40), 8, seeded(6))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first[2], other[2])


@pytest.mark.parametrize('changes, message', [
    (dict(size_range=(16, 97)), r'up to 97 pixels .* images of 96x120'),
    (dict(size_range=(20, 16)), 'smallest and the largest'),
    (dict(size_range=(1, 16)), 'at least 2'),
    (dict(num_per_image=0), 'num_per_image'),
    (dict(background_share=1.5), 'background_share must lie between'),
    (dict(max_overlap=-0.1), 'max_overlap must lie between'),
    (dict(labels=torch.zeros(4, 96, 100).long()), 'must share B, H and W')])
def test_wrong_arguments(changes, message):
    images, labels = scene()
    arguments = dict(images=images, labels=labels, num_per_image=3,
                     size_range=(16, 40), out_size=8)
    with pytest.raises(ValueError, match=message):
        sample_patches(**{**arguments, **changes})


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int32])
def test_classes_are_int64(dtype):
    images, labels = torch.rand(2, 3, 40, 40), torch.ones(2, 40, 40)
    _, classes, boxes = sample_patches(images, labels.to(dtype), 3, (8, 16), 8)
    assert classes.dtype == boxes.dtype == torch.int64
    assert (classes == 1).all()
