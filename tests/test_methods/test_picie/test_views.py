"""Two views: what is random, and that images and features move alike."""
import pytest
import torch
import torch.nn.functional as F

from mmseg_ssl.methods.picie import (
    Geometry,
    PiCIE,
    RandomGeometry,
    RandomPhotometry,
    RawPixels,
)

CPU = torch.device('cpu')


def test_identity_network_is_equivariant():
    """Without photometric changes, both views of a pixel are the same."""
    model = PiCIE(
        dict(type='RawPixels'), 3, view_size=(24, 32), num_clusters=2,
        photometry=dict(jitter_prob=0.0, grey_prob=0.0, blur_prob=0.0))
    images = 255 * torch.rand(8, 3, 24, 32)
    first, second = model.encode_views(RawPixels(), model.make_views(images))
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)
    assert (first - images).abs().mean() > 10  # they did move


def test_equivariance_across_resolutions():
    """G on an image, then pooling: as pooling, then G on the features."""
    ramp = torch.stack(torch.meshgrid(
        torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 96),
        indexing='ij'))
    ramp = torch.cat([ramp, ramp.prod(0, keepdim=True)])
    images = ramp.expand(16, 3, -1, -1)
    geometry = RandomGeometry()(16, CPU)
    first = F.avg_pool2d(geometry.apply(images, (64, 96)), 4)
    second = geometry.apply(F.avg_pool2d(images, 4), (16, 24))
    # bilinear sampling is exact for a ramp, but for the repeated border
    torch.testing.assert_close(
        first[..., 2:-2, 2:-2], second[..., 2:-2, 2:-2], atol=0.03, rtol=0)
    inner = (first - second)[:, :2, 2:-2, 2:-2].abs()
    assert inner.median() < 1e-5


def test_crops_lie_inside_and_have_the_right_areas():
    geometry = RandomGeometry(scale=(0.25, 0.8))(4000, CPU)
    width, x = geometry.theta[:, 0, 0], geometry.theta[:, 0, 2]
    height, y = geometry.theta[:, 1, 1], geometry.theta[:, 1, 2]
    assert (geometry.theta[:, [0, 1], [1, 0]] == 0).all()
    assert (x.abs() + width.abs() <= 1 + 1e-6).all()
    assert (y.abs() + height <= 1 + 1e-6).all() and (height > 0).all()
    area = width.abs() * height
    assert 0.25 - 1e-5 <= area.min() < 0.26 and 0.79 < area.max() <= 0.80001
    assert area.mean() == pytest.approx(0.525, abs=0.01)
    ratio = width.abs() / height
    assert 0.749 < ratio.min() < 0.76 and 1.32 < ratio.max() < 1.334
    assert (width < 0).float().mean() == pytest.approx(0.5, abs=0.03)
    for place in (x, y):
        assert place.mean() == pytest.approx(0, abs=0.02)
    # every admissible place is as likely: of the wide crops, too
    share = (x / (1 - width.abs()))[width.abs() < 0.9]
    assert share.abs().mean() == pytest.approx(0.5, abs=0.03)


def test_whole_image_without_mirror_changes_nothing():
    geometry = RandomGeometry(scale=(1.0, 1.0), flip_prob=0.0)(3, CPU)
    images = torch.rand(3, 2, 8, 12)
    torch.testing.assert_close(geometry.apply(images, (8, 12)), images)


def test_a_known_crop():
    """The right half, mirrored."""
    theta = torch.tensor([[[-0.5, 0, 0.5], [0, 1, 0]]])
    image = torch.arange(8.).expand(1, 1, 2, 8)
    result = Geometry(theta).apply(image, (2, 4))
    torch.testing.assert_close(
        result[0, 0], torch.tensor([7., 6, 5, 4]).expand(2, 4))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_does_not_move_things(dtype):
    """Nor does autocast: places are those of float32."""
    geometry = RandomGeometry()(16, CPU)
    ramp = torch.arange(256.).expand(16, 1, 4, 256)  # exact in 8 bits
    expected = geometry.apply(ramp, (4, 256))
    with torch.autocast('cpu', dtype):
        for x in (ramp, ramp.to(dtype)):
            assert torch.equal(geometry.apply(x, (4, 256)), expected)


def test_gradients_flow_through_the_geometry():
    features = torch.rand(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    geometry = RandomGeometry()(2, CPU)
    torch.autograd.gradcheck(
        lambda x: geometry.apply(x, (3, 3)), (features, ))


def test_photometry_draws_for_each_image():
    mean, std = torch.tensor([120., 110, 100]), torch.tensor([60., 50, 40])
    photometry = RandomPhotometry(mean, std)
    unit = torch.rand(1, 3, 16, 16).expand(400, -1, -1, -1)
    images = (255 * unit - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    changed = photometry(images)
    unit = (changed * std.view(1, 3, 1, 1) + mean.view(1, 3, 1, 1)) / 255
    assert unit.min() > -1e-4 and unit.max() < 1 + 1e-4
    grey = (unit.amax(1) - unit.amin(1)).amax((1, 2)) < 1e-3
    assert grey.float().mean() == pytest.approx(0.2, abs=0.08)
    # 0.2 * 0.8 * 0.5 of them stay as they are
    same = (changed - images).abs().amax((1, 2, 3)) < 1e-3
    assert same.float().mean() == pytest.approx(0.08, abs=0.05)
    assert len(changed.mean((1, 2, 3)).unique()) > 200


def test_blur_sigmas_are_positive_and_spread():
    """Unlike in the released code, where most came out at or below 0."""
    photometry = RandomPhotometry(
        jitter_prob=0.0, grey_prob=0.0, blur_prob=1.0)
    dots = torch.zeros(300, 3, 21, 21)
    dots[:, :, 10, 10] = 255
    peak = photometry(dots)[:, 0, 10, 10] / 255
    assert peak.min() < 0.06 and peak.max() > 0.95
    assert (peak < 0.3).float().mean() == pytest.approx(0.67, abs=0.12)


@pytest.mark.parametrize('make, message', [
    (lambda: RandomGeometry(scale=(0.0, 1.0)), 'scale'),
    (lambda: RandomGeometry(scale=(0.5, 1.5)), 'scale'),
    (lambda: RandomPhotometry(blur_sigma=(0.0, 1.0)), 'blur_sigma'),
])
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
