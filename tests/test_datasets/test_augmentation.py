import pytest
import torch
from kornia.color import rgb_to_hsv

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.augmentation import (
    PseudoLabelAugmentation,
    PseudoLabeled,
)

MEAN = [123.675, 116.28, 103.53]
STD = [58.395, 57.12, 57.375]
OFF = dict(jitter_prob=0.0, blur_prob=0.0, flip_prob=0.0)


def normalized(images: torch.Tensor) -> torch.Tensor:
    """As the data preprocessor makes it, from (B, 3, H, W) in 0 to 255."""
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(
        STD).view(3, 1, 1)


def denormalized(images: torch.Tensor) -> torch.Tensor:
    return images * torch.tensor(STD).view(3, 1, 1) + torch.tensor(
        MEAN).view(3, 1, 1)


def blocky_batch(batch_size=8, height=48, width=64) -> PseudoLabeled:
    """Blocks of 8x8 pixels; image and confidence tell the label.

    Labels are 0 to 10 and 254, red = 20 * label (254: 240), confidence =
    (label + 1) / 255.
    """
    blocks = torch.randint(0, 12, (batch_size, height // 8, width // 8))
    labels = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
    images = (20.0 * labels).unsqueeze(1).repeat(1, 3, 1, 1)
    labels = torch.where(labels == 11, 254, labels)
    return PseudoLabeled(
        normalized(images), labels, ((labels + 1) / 255).float())


def augmentation(**kwargs) -> PseudoLabelAugmentation:
    return PseudoLabelAugmentation(MEAN, STD, **kwargs)


def assert_aligned(batch: PseudoLabeled) -> None:
    """The label agrees with confidence, and with the image within a block."""
    valid = batch.labels != IGNORE_INDEX
    torch.testing.assert_close(
        batch.confidence[valid],
        ((batch.labels + 1) / 255).float()[valid])
    assert (batch.confidence[~valid] == 0).all()
    expected = torch.where(batch.labels == 254, 11, batch.labels) * 20.0
    red = denormalized(batch.images)[:, 0]
    # interpolation blurs the borders between blocks, and nothing else
    inside = ~differs_from_neighbours(batch.labels)
    assert inside.float().mean() > 0.3
    error = (red - expected)[inside & valid].abs()
    assert error.max() < 0.5


def differs_from_neighbours(labels: torch.Tensor) -> torch.Tensor:
    """Where the 5x5 surroundings of a pixel hold more than one label.

    Nobody knows what surrounds the pixels of the rim; they count as well.
    """
    pool = torch.nn.functional.max_pool2d
    labels = labels[:, None].float()
    differs = pool(labels, 5, 1) != -pool(-labels, 5, 1)
    return torch.nn.functional.pad(
        differs.squeeze(1), (2, 2, 2, 2), value=True)


@pytest.mark.parametrize('scale', [(1.0, 1.5), (0.5, 1.5), (2.0, 2.0)])
def test_scale_crop_moves_image_label_and_confidence_together(scale):
    batch = blocky_batch()
    for _ in range(5):
        moved = augmentation(scale=scale).scale_crop(batch)
        assert moved.images.shape == batch.images.shape
        assert moved.labels.dtype == torch.int64
        assert moved.confidence.dtype == torch.float32
        assert_aligned(moved)
        known = set(batch.labels.unique().tolist()) | {IGNORE_INDEX}
        assert set(moved.labels.unique().tolist()) <= known


def test_flip_moves_image_label_and_confidence_together():
    batch = blocky_batch()
    flipped = augmentation(
        jitter_prob=0.0, blur_prob=0.0, flip_prob=1.0).photometric(batch)
    torch.testing.assert_close(
        flipped.images, batch.images.flip(3), rtol=0, atol=1e-5)
    assert torch.equal(flipped.labels, batch.labels.flip(2))
    assert torch.equal(flipped.confidence, batch.confidence.flip(2))


def test_about_half_of_the_samples_are_flipped():
    batch = blocky_batch(batch_size=200, height=8, width=16)
    flipped = augmentation(
        jitter_prob=0.0, blur_prob=0.0, flip_prob=0.5).photometric(batch)
    same = (flipped.labels == batch.labels).flatten(1).all(1)
    mirrored = (flipped.labels == batch.labels.flip(2)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 70 < (mirrored & ~same).sum() < 130


def test_zooming_in_shows_nothing_from_outside():
    batch = PseudoLabeled(
        torch.full((200, 3, 24, 32), 2.0),
        torch.full((200, 24, 32), 3), torch.full((200, 24, 32), 0.5))
    moved = augmentation(scale=(1.0, 2.0)).scale_crop(batch)
    torch.testing.assert_close(moved.images, batch.images)
    assert torch.equal(moved.labels, batch.labels)
    assert torch.equal(moved.confidence, batch.confidence)


def test_zooming_out_leaves_a_void_border():
    batch = blocky_batch(batch_size=200)
    moved = augmentation(scale=(0.5, 0.5)).scale_crop(batch)
    void = moved.labels == IGNORE_INDEX
    # a quarter of the area is left, as one rectangle somewhere
    for mask in ~void:
        rows, columns = mask.any(1), mask.any(0)
        assert abs(int(rows.sum()) - 24) <= 1
        assert abs(int(columns.sum()) - 32) <= 1
        assert torch.equal(mask, rows[:, None] & columns[None])
    assert (moved.confidence[void] == 0).all()
    # away from the interpolated rim the border has the mean colour
    far = (-torch.nn.functional.max_pool2d(
        -void[:, None].float(), 3, 1, 1)).squeeze(1) > 0
    assert (moved.images.movedim(1, 3)[far] == 0).all()
    # all places are reached
    covered = (~void).any(0)
    assert covered[0].any() and covered[-1].any()
    assert covered[:, 0].any() and covered[:, -1].any()


def test_zoom_keeps_its_range_and_differs_between_samples():
    columns = torch.arange(64.).view(1, 1, 64).repeat(100, 48, 1)
    batch = PseudoLabeled(
        torch.zeros(100, 3, 48, 64), torch.zeros(100, 48, 64).long(), columns)
    moved = augmentation(scale=(1.25, 2.0)).scale_crop(batch)
    # columns of the original that are seen in the middle row
    seen = moved.confidence[:, 24, -1] - moved.confidence[:, 24, 0]
    zoom = 63 / seen
    assert zoom.min() > 1.25 * 0.94 and zoom.max() < 2.0 * 1.06
    assert zoom.min() < 1.35 and zoom.max() > 1.85
    assert len(zoom.unique()) > 10
    assert len(moved.confidence[:, 24, 0].unique()) > 10  # place


@pytest.mark.parametrize('labels', [0, IGNORE_INDEX])
def test_identity_settings_leave_the_batch_unchanged(labels):
    batch = blocky_batch()
    batch.labels[:, :4] = labels
    unchanged = augmentation(scale=(1.0, 1.0), **OFF)
    for step in (unchanged.scale_crop, unchanged.photometric):
        after = step(batch)
        torch.testing.assert_close(
            after.images, batch.images, rtol=0, atol=1e-4)
        assert torch.equal(after.labels, batch.labels)
        assert torch.equal(after.confidence, batch.confidence)


def grey_batch(batch_size=64) -> PseudoLabeled:
    images = torch.rand(batch_size, 3, 16, 16) * 100 + 70
    return PseudoLabeled(
        normalized(images),
        torch.randint(0, 5, (batch_size, 16, 16)),
        torch.rand(batch_size, 16, 16))


def test_photometric_changes_images_only():
    batch = grey_batch()
    after = augmentation(flip_prob=0.0).photometric(batch)
    assert torch.equal(after.labels, batch.labels)
    assert torch.equal(after.confidence, batch.confidence)
    assert not torch.allclose(after.images, batch.images, atol=1e-2)
    values = denormalized(after.images)
    assert values.min() > -1e-2 and values.max() < 255 + 1e-2


def test_brightness_is_a_factor_within_its_range_per_sample():
    batch = grey_batch()
    same = (1.0, 1.0)
    after = augmentation(
        brightness=(0.75, 1.25), contrast=same, saturation=same,
        hue=(0.0, 0.0), jitter_prob=1.0, blur_prob=0.0,
        flip_prob=0.0).photometric(batch)
    factor = (denormalized(after.images) / denormalized(batch.images)).flatten(
        1)
    torch.testing.assert_close(
        factor, factor[:, :1].expand_as(factor), rtol=1e-3, atol=1e-3)
    factor = factor[:, 0]
    assert factor.min() > 0.749 and factor.max() < 1.251
    assert factor.min() < 0.8 and factor.max() > 1.2
    assert len(factor.unique()) > 50


def test_hue_is_shifted_within_a_quarter_turn():
    colour = torch.tensor([200., 60., 60.]).view(1, 3, 1, 1)  # hue 0
    batch = grey_batch()._replace(
        images=normalized(colour.expand(64, 3, 16, 16)))
    same = (1.0, 1.0)
    after = augmentation(
        brightness=same, contrast=same, saturation=same, hue=(-0.25, 0.25),
        jitter_prob=1.0, blur_prob=0.0, flip_prob=0.0).photometric(batch)
    hue = rgb_to_hsv(denormalized(after.images) / 255)[:, 0, 0, 0]
    turns = hue / (2 * torch.pi)
    turns = torch.where(turns > 0.5, turns - 1, turns)
    assert turns.abs().max() < 0.251
    assert turns.min() < -0.2 and turns.max() > 0.2


def test_jitter_and_blur_have_their_probabilities():
    batch = grey_batch(batch_size=400)

    def share_changed(**kwargs) -> float:
        after = augmentation(**{**OFF, **kwargs}).photometric(batch)
        changed = (after.images - batch.images).abs().flatten(1).max(1).values
        return (changed > 1e-3).float().mean().item()

    # binomial: five standard deviations
    assert share_changed(jitter_prob=0.8) == pytest.approx(0.8, abs=0.1)
    assert share_changed(blur_prob=0.5) == pytest.approx(0.5, abs=0.125)


def test_blur_is_a_gaussian_of_the_given_width():
    images = torch.zeros(1, 3, 33, 33)
    images[:, :, 16, 16] = 255
    batch = PseudoLabeled(
        normalized(images), torch.zeros(1, 33, 33).long(),
        torch.ones(1, 33, 33))
    after = augmentation(
        jitter_prob=0.0, blur_prob=1.0, blur_sigma=(1.15, 1.15),
        flip_prob=0.0).photometric(batch)
    profile = denormalized(after.images)[0, 0].sum(0).double()
    profile /= profile.sum()
    place = torch.arange(33.).double() - 16
    variance = (profile * place**2).sum() - (profile * place).sum()**2
    assert variance.sqrt() == pytest.approx(1.15, rel=0.02)


def test_same_seed_same_batch():
    batch = blocky_batch()
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        strong = augmentation(scale=(0.5, 1.5))
        results.append(strong.photometric(strong.scale_crop(batch)))
    for first, second in zip(*results):
        assert torch.equal(first, second)


def test_works_under_autocast_without_loss_of_precision():
    batch = blocky_batch()
    strong = augmentation(scale=(0.5, 1.5), **OFF)
    with torch.autocast('cpu', torch.bfloat16):
        moved = strong.photometric(strong.scale_crop(batch))
    assert moved.images.dtype == torch.float32
    assert_aligned(moved)


def test_moves_with_the_model_and_stays_out_of_checkpoints():
    strong = augmentation(scale=(0.5, 1.5)).to(torch.float64)
    assert strong.mean.dtype == strong.std.dtype == torch.float64
    assert not strong.state_dict()


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_works_on_a_gpu():
    batch = PseudoLabeled(*(x.cuda() for x in blocky_batch()))
    strong = augmentation(scale=(0.5, 1.5), **OFF).cuda()
    with torch.autocast('cuda', torch.float16):
        moved = strong.photometric(strong.scale_crop(batch))
    assert moved.images.is_cuda
    assert_aligned(PseudoLabeled(*(x.cpu() for x in moved)))


def test_leaves_its_input_alone():
    batch = blocky_batch()
    untouched = PseudoLabeled(*(x.clone() for x in batch))
    strong = augmentation(scale=(0.5, 1.5))
    strong.photometric(strong.scale_crop(batch))
    for value, expected in zip(batch, untouched):
        assert torch.equal(value, expected)


def test_images_that_were_not_normalised():
    strong = PseudoLabelAugmentation(0.0, 1.0, **OFF)
    batch = grey_batch()._replace(images=torch.rand(64, 3, 16, 16) * 255)
    torch.testing.assert_close(
        strong.photometric(batch).images, batch.images, rtol=0, atol=1e-3)
