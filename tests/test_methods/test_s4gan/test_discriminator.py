import pytest
import torch
from mmseg.registry import MODELS


@pytest.fixture
def discriminator():
    return MODELS.build(dict(
        type='ImageDiscriminator', num_classes=3, channels=4,
        dropout_ratio=0.0))


def pairs(batch_size=2, size=(16, 32), num_classes=3):
    images = torch.randn(batch_size, 3, *size)
    maps = torch.randn(batch_size, num_classes, *size).softmax(dim=1)
    return images, maps


@pytest.mark.parametrize('size', [(16, 16), (17, 31), (32, 64)])
def test_shapes(discriminator, size):
    judged = discriminator(*pairs(3, size))
    assert judged.logits.shape == (3, )
    assert judged.features.shape == (3, 32)


def test_looks_at_image_and_label_map(discriminator):
    images, maps = pairs()
    logits = discriminator(images, maps).logits
    assert not torch.allclose(discriminator(-images, maps).logits, logits)
    assert not torch.allclose(
        discriminator(images, maps.flip(1)).logits, logits)


def test_learns_whether_a_map_fits_its_image(discriminator):
    """Both kinds of maps look the same without their images."""
    labels = torch.randint(3, (64, 1, 4, 4)).repeat_interleave(
        4, dim=2).repeat_interleave(4, dim=3)
    maps = torch.zeros(64, 3, 16, 16).scatter_(1, labels, 1)
    images, other = 2 * maps - 1, maps.roll(1, dims=0)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=0.01)
    target = torch.cat([torch.ones(64), torch.zeros(64)])
    for _ in range(60):
        logits = torch.cat([discriminator(images, m).logits
                            for m in (maps, other)])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((logits > 0) == (target > 0)).float().mean() > 0.95


def test_drops_channels_in_training_only():
    net = MODELS.build(dict(
        type='ImageDiscriminator', num_classes=3, channels=4))
    inputs = pairs()
    first, second = (net(*inputs).features for _ in range(2))
    assert not torch.equal(first, second)
    net.eval()
    first, second = (net(*inputs).features for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize('images, maps', [
    ((2, 3, 32, 32), (2, 3, 16, 16)),
    ((2, 3, 32, 32), (2, 4, 32, 32)),
    ((2, 3, 32, 32), (1, 3, 32, 32)),
    ((2, 1, 32, 32), (2, 3, 32, 32)),
])
def test_shapes_that_do_not_belong_together(discriminator, images, maps):
    with pytest.raises(ValueError, match=(
            r'images \(B, 3, H, W\) and label maps \(B, 3, H, W\) of one '
            fr'size, but got \({images[0]}, {images[1]}, ')):
        discriminator(torch.zeros(images), torch.zeros(maps))


def test_input_too_small(discriminator):
    with pytest.raises(ValueError, match=(
            r'at least 16 pixels, but got \(15, 32\): use a larger')):
        discriminator(*pairs(size=(15, 32)))
