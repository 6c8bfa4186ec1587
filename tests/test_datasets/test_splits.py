import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmseg_ssl.datasets.splits import (
    select_labeled,
    select_random,
    sparsify_mask,
)

CLASS_SETS = st.lists(st.frozensets(st.integers(0, 7)), max_size=40)


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def walk_round(class_sets, num_labeled, min_classes, seed):
    """The algorithm as the paper tells it: walk, take or pass over, again."""
    order = generator(seed).random(len(class_sets)).argsort(kind='stable')
    waiting = [i for i in order.tolist() if len(class_sets[i]) >= min_classes]
    seen = {label: 0 for classes in class_sets for label in classes}
    taken, changed = [], True
    while changed:
        changed, passed = False, []
        for image in waiting:
            fewest = min(seen.values(), default=0)
            least_seen = {c for c, count in seen.items() if count == fewest}
            if len(taken) < num_labeled and least_seen & class_sets[image]:
                taken.append(image)
                changed = True
                for label in class_sets[image]:
                    seen[label] += 1
            else:
                passed.append(image)
        waiting = passed
    return taken


@given(CLASS_SETS, st.integers(0, 40), st.integers(0, 5), st.integers(0, 99))
def test_select_labeled_equals_walk(class_sets, num_labeled, min_classes,
                                    seed):
    expected = walk_round(class_sets, num_labeled, min_classes, seed)
    if len(expected) == num_labeled <= len(class_sets):
        assert select_labeled(
            class_sets, num_labeled, min_classes, seed) == expected
    else:
        with pytest.raises(ValueError, match=f'cannot choose {num_labeled}'):
            select_labeled(class_sets, num_labeled, min_classes, seed)


@given(CLASS_SETS, st.integers(1, 10), st.integers(1, 4), st.integers(0, 99))
def test_select_labeled_conditions(class_sets, num_labeled, min_classes,
                                   seed):
    try:
        chosen = select_labeled(class_sets, num_labeled, min_classes, seed)
    except ValueError:
        return
    assert len(set(chosen)) == len(chosen) == num_labeled
    seen = dict.fromkeys(frozenset().union(*class_sets), 0)
    for image in chosen:
        assert len(class_sets[image]) >= min_classes
        fewest = min(seen.values())
        assert any(seen[label] == fewest for label in class_sets[image])
        for label in class_sets[image]:
            seen[label] += 1


def test_select_labeled_is_fixed():
    """The numbers that every machine must get."""
    class_sets = [{i % 5, i % 3, i % 7} for i in range(30)]
    assert select_labeled(class_sets, 6, 2, seed=0) == [
        11, 3, 20, 19, 17, 6]
    assert select_labeled(class_sets, 6, 2, seed=1) != [
        11, 3, 20, 19, 17, 6]


def test_select_labeled_says_why_not():
    class_sets = [{0, 1}, {0, 1}, {0, 1}, {2}]
    with pytest.raises(ValueError, match='choose 5 labelled images from 4'):
        select_labeled(class_sets, 5, 1, seed=0)
    with pytest.raises(ValueError, match=(
            r'only 1: the 2 other images with at least 2 classes hold none '
            r'of the least-seen classes \[2\] \(each in 0 chosen images\)')):
        select_labeled(class_sets, 2, 2, seed=0)
    with pytest.raises(ValueError, match=(
            'only 3: no other image holds 2 classes or more')):
        select_labeled([*class_sets[:3], {0}], 4, 2, seed=0)


def test_select_labeled_goes_on_without_exhausted_classes():
    class_sets = [{0}, {0, 2}, {0}, {1}, {1}, {0}]
    with pytest.raises(ValueError, match='only 4.*or go on without them'):
        select_labeled(class_sets, 6, 1, seed=0)
    chosen = select_labeled(class_sets, 6, 1, seed=0, skip_exhausted=True)
    assert sorted(chosen) == [0, 1, 2, 3, 4, 5]
    # the image of the rarest class comes among the first, as without it
    assert chosen[:3] == select_labeled(class_sets, 3, 1, seed=0)
    with pytest.raises(ValueError, match='choose 7 labelled images from 6'):
        select_labeled(class_sets, 7, 1, seed=0, skip_exhausted=True)


@pytest.mark.parametrize('num_labeled', [500, 10_000])
def test_select_labeled_is_fast(num_labeled):
    class_sets = [{*range(20), 20 + i % 20} for i in range(10_000)]
    start = time.process_time()
    assert len(select_labeled(class_sets, num_labeled, 1, 0)) == num_labeled
    assert time.process_time() - start < 1


def blobs(height, width, num_classes, seed):
    """Label map of smooth regions with some void."""
    rng = np.random.default_rng(seed)
    noise = rng.random((num_classes + 1, height, width)).astype(np.float32)
    smooth = [cv2.GaussianBlur(layer, (0, 0), 3) for layer in noise]
    mask = np.argmax(smooth, 0).astype(np.uint8)
    mask[mask == num_classes] = 255
    return mask


def grow_by_dilation(mask, label, seed, fraction):
    """The algorithm as the paper tells it, for one class."""
    pixels = mask == label
    region = np.zeros(mask.shape, np.uint8)
    region[seed] = 1
    while (region & pixels).sum() < fraction * pixels.sum():
        region = cv2.dilate(region, np.ones((5, 5)))
    return (region & pixels).astype(bool)


MASKS = st.one_of(
    arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30)),
           elements=st.sampled_from([0, 1, 2, 7, 255])),
    st.builds(blobs, st.integers(8, 48), st.integers(8, 48),
              st.integers(1, 6), st.integers(0, 99)))


@settings(deadline=None)
@given(MASKS, st.sampled_from([None, 0.01, 0.05, 0.25, 1.0]),
       st.integers(0, 99))
def test_sparsify_mask_equals_dilation(mask, fraction, seed):
    seeds = sparsify_mask(mask, None, generator(seed))
    sparse = sparsify_mask(mask, fraction, generator(seed))
    assert sparse.dtype == mask.dtype and sparse.shape == mask.shape
    assert set(np.unique(sparse)) - {255} == set(np.unique(mask)) - {255}
    for label in set(np.unique(mask).tolist()) - {255}:
        (row, column), = np.argwhere(seeds == label)
        expected = grow_by_dilation(
            mask, label, (row, column), fraction or 1e-9)
        np.testing.assert_array_equal(sparse == label, expected)


def pierced_ellipse(height, width, angle, seed):
    """A class without bays, with gaps that are narrower than the kernel."""
    mask = np.full((height, width), 255, np.uint8)
    axes = (width // 2 - 2, height // 3)
    cv2.ellipse(mask, (width // 2, height // 2), axes, angle, 0, 360, 0, -1)
    holes = generator(seed).random((height // 3 + 1, width // 3 + 1)) < 0.3
    rows, columns = np.nonzero(holes)
    mask[(3 * rows).clip(max=height - 1), (3 * columns).clip(max=width - 1)
         ] = 255
    return mask


ELLIPSES = st.builds(
    pierced_ellipse, st.integers(24, 60), st.integers(24, 60),
    st.integers(0, 179), st.integers(0, 99))


@settings(deadline=None)
@given(ELLIPSES, st.sampled_from([0.01, 0.05, 0.25, 0.6]),
       st.integers(0, 99))
def test_what_grows_is_connected_once_gaps_are_closed(mask, fraction, seed):
    """Gaps of the size of the kernel, which dilation passes."""
    kept = (sparsify_mask(mask, fraction, generator(seed)) == 0)
    closed = cv2.morphologyEx(
        np.pad(kept.astype(np.uint8), 4), cv2.MORPH_CLOSE, np.ones((5, 5)))
    assert cv2.connectedComponents(closed)[0] == 2


@settings(deadline=None)
@given(ELLIPSES, st.sampled_from([0.01, 0.05, 0.25]), st.integers(0, 99))
def test_coverage_of_classes_in_one_piece(mask, fraction, seed):
    """The target is reached, and was not one dilation earlier."""
    total = (mask == 0).sum()
    (row, column), = np.argwhere(
        sparsify_mask(mask, None, generator(seed)) == 0)
    kept = sparsify_mask(mask, fraction, generator(seed)) == 0
    assert kept.sum() >= fraction * total
    rows, columns = np.nonzero(kept)
    reach = max(abs(rows - row).max(), abs(columns - column).max())
    inner = kept.copy()
    inner[:max(row - reach + 2, 0)], inner[row + reach - 1:] = False, False
    inner[:, :max(column - reach + 2, 0)] = False
    inner[:, column + reach - 1:] = False
    assert kept.sum() == 1 or inner.sum() < fraction * total


def test_what_is_kept_may_be_in_several_pieces():
    mask = np.full((9, 40), 255, np.uint8)
    mask[:, :5], mask[:, 35:] = 0, 0
    kept = (sparsify_mask(mask, 0.6, generator()) == 0).astype(np.uint8)
    assert cv2.connectedComponents(kept)[0] == 3


@settings(deadline=None)
@given(MASKS, st.sampled_from([None, 0.01, 0.05, 0.25]), st.integers(0, 99))
def test_sparsify_mask_keeps_only_given_labels(mask, fraction, seed):
    before = mask.copy()
    sparse = sparsify_mask(mask, fraction, generator(seed))
    kept = sparse != 255
    np.testing.assert_array_equal(sparse[kept], mask[kept])
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_array_equal(
        sparse, sparsify_mask(mask, fraction, generator(seed)))


@pytest.mark.parametrize('fraction', [0.01, 0.05, 0.25])
@pytest.mark.parametrize('seed', range(5))
def test_sparsify_mask_coverage(fraction, seed):
    """Within one dilation of the target, and in one piece."""
    mask = np.zeros((80, 100), np.uint8)
    mask[20:70, 10:90] = 1
    sparse = sparsify_mask(mask, fraction, generator(seed))
    kept = (sparse == 1).astype(np.uint8)
    total = (mask == 1).sum()
    assert kept.sum() >= fraction * total
    # The last dilation was needed.
    before = cv2.erode(kept | (mask != 1), np.ones((5, 5))) & kept
    assert before.sum() < fraction * total
    assert cv2.connectedComponents(kept)[0] == 2


def test_sparsify_mask_draws_seeds_uniformly():
    mask = np.array([[0, 0, 0, 0, 1]], np.uint8)
    rng = generator()
    hits = sum(sparsify_mask(mask, None, rng) == 0 for _ in range(2000))
    assert hits[0, 4] == 0
    chi2 = ((hits[0, :4] - 500)**2 / 500).sum()
    assert chi2 < 16.3  # p = 0.001 with three degrees of freedom


def test_sparsify_mask_is_fixed():
    """The pixels that every machine must keep."""
    mask = np.tile(np.repeat([0, 1, 255], 4).astype(np.uint8), (12, 1))
    sparse = sparsify_mask(mask, None, generator(0))
    assert np.argwhere(sparse != 255).tolist() == [[3, 4], [7, 2]]


@pytest.mark.parametrize('mask, fraction, message', [
    (np.zeros((2, 2, 3), np.uint8), 0.1, r'\(2, 2, 3\) of uint8'),
    (np.zeros((2, 2)), 0.1, 'float64'),
    (np.zeros((2, 2), np.uint8), 0, 'got 0'),
    (np.zeros((2, 2), np.uint8), 25, 'got 25'),
])
def test_sparsify_mask_refuses(mask, fraction, message):
    with pytest.raises(ValueError, match=message):
        sparsify_mask(mask, fraction, generator())


# --- a fraction at random ---------------------------------------------------


def test_random_choice():
    chosen = select_random(50, 20, seed=1)
    assert len(set(chosen)) == 20 and set(chosen) <= set(range(50))
    assert select_random(50, 7, seed=1) == chosen[:7]
    assert select_random(50, 20, seed=2) != chosen
    assert sorted(select_random(50, 50, seed=1)) == list(range(50))


def test_random_choice_is_the_same_on_every_machine():
    assert select_random(10, 4, seed=0) == [3, 2, 1, 8]


def test_every_image_is_as_likely():
    counts = np.zeros(10)
    for seed in range(500):
        counts[select_random(10, 3, seed)] += 1
    # 150 expected, standard deviation 10
    assert counts.min() > 105 and counts.max() < 195


def test_random_choice_of_too_many():
    with pytest.raises(ValueError, match='5 labelled images from 4'):
        select_random(4, 5, seed=0)
