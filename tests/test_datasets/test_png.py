import hashlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_ssl.datasets.png import encode_label_map, write_label_map


def label_maps():
    """Noise, one value, sparse points, stripes; of all kinds of sizes."""
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (1, 300), (300, 1), (37, 53), (120, 160)]:
        yield rng.integers(0, 256, shape)
        yield np.full(shape, 255)
        yield np.where(rng.random(shape) < 0.01, rng.integers(0, 9, shape),
                       255)
        yield np.cumsum(rng.random(shape) < 0.1, axis=1)


@pytest.mark.parametrize('labels', list(label_maps()))
def test_other_libraries_read_it(labels):
    labels = labels.astype(np.uint8)
    content = encode_label_map(labels)
    with Image.open(io.BytesIO(content)) as image:
        assert image.mode == 'L'
        np.testing.assert_array_equal(np.asarray(image), labels)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), -1)
    np.testing.assert_array_equal(decoded, labels)


def test_runs_of_every_length():
    """Up to several of the longest repeat, 258, with every rest."""
    for length in range(1, 800):
        labels = np.full((1, length), 7, np.uint8)
        with Image.open(io.BytesIO(encode_label_map(labels))) as image:
            np.testing.assert_array_equal(np.asarray(image), labels)


def test_bytes_are_fixed():
    """They may never change: users compare them between machines."""
    labels = np.full((40, 60), 255, np.uint8)
    labels[3:9, 5:20], labels[30, 2] = 4, 0
    content = encode_label_map(labels)
    assert hashlib.sha256(content).hexdigest()[:16] == '9822fd91c3f1a889'
    assert len(content) < 240


def test_written_whole(tmp_path):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_label_map(tmp_path / 'new' / 'x.png', labels)
    assert [p.name for p in (tmp_path / 'new').iterdir()] == ['x.png']
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / 'new/x.png')), labels)


@pytest.mark.parametrize('labels', [
    np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2), np.int64),
    np.zeros((0, 2), np.uint8)])
def test_not_a_label_map(labels):
    with pytest.raises(ValueError, match=r'should be \(H, W\) of uint8'):
        encode_label_map(labels)
