import numpy as np
import pytest
from mmcv.image import imrescale, imresize

from mmseg_ssl.conventions import IGNORE_INDEX
from mmseg_ssl.datasets.partial_labels import (
    AMOUNTS,
    PartialLabelsSpec,
    image_rng,
    sparsify_at,
)
from mmseg_ssl.datasets.splits import sparsify_mask


def blobs(shape, num_classes=5, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, num_classes, (4, 5)).astype(np.uint8)
    mask = imresize(small, shape[::-1], interpolation='nearest')
    mask[:3] = IGNORE_INDEX
    return mask


def random_numbers(name='x', seed=0):
    return image_rng(name, seed)


@pytest.mark.parametrize('fraction', AMOUNTS.values())
def test_own_size_is_sparsify_mask(fraction):
    mask = blobs((40, 60))
    np.testing.assert_array_equal(
        sparsify_at(mask, fraction, random_numbers(), mask.shape),
        sparsify_mask(mask, fraction, random_numbers()))


@pytest.mark.parametrize('full, reduced', [
    ((360, 480), (120, 160)), ((213, 320), (112, 168)), ((50, 70), (49, 69)),
    ((41, 40), (1, 3)),
    # where products of sizes are whole numbers that doubles round down
    ((216, 216), (120, 120)), ((208, 208), (160, 160))])
@pytest.mark.parametrize('fraction', AMOUNTS.values())
def test_reducing_gives_what_was_drawn_at_that_size(full, reduced, fraction):
    """As mmcv reduces label maps when it resizes images in training."""
    mask = blobs(full)
    kept = sparsify_at(mask, fraction, random_numbers(), reduced)
    assert kept.shape == full and kept.dtype == mask.dtype
    expected = sparsify_mask(
        imresize(mask, reduced[::-1], interpolation='nearest'), fraction,
        random_numbers())
    np.testing.assert_array_equal(
        imresize(kept, reduced[::-1], interpolation='nearest'), expected)


def test_one_pixel_per_class_becomes_a_block():
    mask = blobs((360, 480))
    kept = sparsify_at(mask, None, random_numbers(), (120, 160))
    labels, counts = np.unique(kept, return_counts=True)
    assert set(labels) == set(np.unique(mask))
    assert (counts[labels != IGNORE_INDEX] == 9).all()


def test_short_side_follows_mmcv():
    spec = PartialLabelsSpec(('p1', ), (0, ), short_side=112)
    for shape in [(213, 320), (320, 213), (214, 319), (240, 240)]:
        reduced = imrescale(np.zeros(shape, np.uint8), (2048, 112))
        assert spec.shape_for(*shape) == reduced.shape
    assert PartialLabelsSpec(('p1', ), (0, ), size=(160, 120)).shape_for(
        360, 480) == (120, 160)
    assert PartialLabelsSpec(('p1', ), (0, )).shape_for(360, 480) == (360, 480)


def test_amounts_of_one_seed_contain_each_other():
    mask = blobs((60, 80))
    smaller = None
    for fraction in AMOUNTS.values():
        kept = sparsify_mask(mask, fraction, random_numbers('y', 2))
        known = kept != IGNORE_INDEX
        assert (kept[known] == mask[known]).all()
        if smaller is not None:
            assert known[smaller].all() and known.sum() > smaller.sum()
        smaller = known


def test_images_and_seeds_differ():
    draws = {random_numbers(name, seed).random()
             for name in ('a', 'b', 'ab') for seed in (0, 1, 2)}
    assert len(draws) == 9
    # numpy promises this stream for all versions and machines
    assert random_numbers('seq/0001', 1).random() == pytest.approx(
        0.019385826960162555, abs=1e-15)


@pytest.mark.parametrize('shape', [(41, 40), (0, 20), (40, 61)])
def test_larger_than_the_label_map(shape):
    with pytest.raises(ValueError, match=(
            f'drawn at {shape[1]}x{shape[0]}: the label map is 60x40')):
        sparsify_at(blobs((40, 60)), 0.1, random_numbers(), shape)


def test_unknown_amount():
    with pytest.raises(ValueError, match=r"\['p2'\]: use some of \['p1'"):
        PartialLabelsSpec(('p1', 'p2'), (0, ))


def test_two_sizes():
    with pytest.raises(ValueError, match='size or short_side, not both'):
        PartialLabelsSpec(('p1', ), (0, ), (4, 4), 4)
