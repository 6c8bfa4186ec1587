"""Views of an image, and the labels that go with them."""
import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from mmseg_ssl.methods.fs4 import PyramidLabels
from mmseg_ssl.methods.fs4.pyramid_view import VIEW_NAMES, crop_view


@pytest.fixture
def label_file(tmp_path):
    """Labels 10 * image + view of three images; the last one has none."""
    selected = np.zeros((3, 6), dtype=bool)
    selected[0, [0, 2, 5]] = True
    selected[1, 4] = True
    path = str(tmp_path / 'labels.npz')
    PyramidLabels(
        names=np.array(['a.png', 'b.png', 'c.png']),
        labels=(10 * np.arange(3)[:, None] + np.arange(6)).astype(np.int32),
        similarity=np.ones((3, 6), np.float32), selected=selected,
        centroids=np.eye(26, dtype=np.float32),
        manifest=dict(network='x')).save(path)
    return path


def load(label_file: str, index: int, name: str, **options) -> dict:
    transform = TRANSFORMS.build(dict(
        type='RandomPyramidView', label_file=label_file, **options))
    image = np.arange(8 * 12).reshape(8, 12)
    return transform(dict(
        img=image, img_shape=(8, 12), img_path=f'somewhere/{name}',
        sample_idx=index))


def test_boxes():
    image = np.arange(6 * 10).reshape(6, 10)
    views = [crop_view(image, view) for view in range(6)]
    assert np.array_equal(views[0], image)
    assert np.array_equal(
        np.block([[views[1], views[2]], [views[3], views[4]]]), image)
    image = np.arange(8 * 12).reshape(8, 12)
    assert np.array_equal(crop_view(image, 5), image[2:6, 3:9])
    for shape in ((7, 9), (2, 2), (213, 320)):
        quarters = [crop_view(np.zeros(shape), v) for v in range(1, 5)]
        assert sum(q.size for q in quarters) == shape[0] * shape[1]
        assert min(q.size for q in quarters) > 0
    with pytest.raises(ValueError, match='1x5 pixels has no quarters'):
        crop_view(np.zeros((5, 1)), 1)


def test_selected_views_at_random(label_file):
    results = [load(label_file, 0, 'a.png') for _ in range(300)]
    labels = np.array([r['global_label'] for r in results])
    assert np.bincount(labels, minlength=6)[[0, 2, 5]] == pytest.approx(
        100, abs=30)
    for result in results:
        view = result['global_label']
        assert result['pyramid_view'] == VIEW_NAMES[view]
        assert result['img_shape'] == result['img'].shape
        assert result['img'].flags['C_CONTIGUOUS']
        assert np.array_equal(result['img'], crop_view(
            np.arange(8 * 12).reshape(8, 12), view))
    assert load(label_file, 1, 'b.png')['global_label'] == 14


def test_images_without_a_selected_view(label_file):
    result = load(label_file, 2, 'c.png')
    assert 'global_label' not in result and result['img_shape'] == (8, 12)
    whole = load(label_file, 2, 'c.png', views='whole')
    assert whole['global_label'] == 20 and whole['img_shape'] == (8, 12)


def test_labels_of_other_images(label_file):
    with pytest.raises(ValueError, match='number 1 .* is a.png, there it is '
                                         'b.png'):
        load(label_file, 1, 'a.png')
    with pytest.raises(ValueError, match='is d.png, there it is nothing'):
        load(label_file, 3, 'd.png')


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match='make_pyramid_labels.py'):
        load(str(tmp_path / 'no.npz'), 0, 'a.png')
    (tmp_path / 'bad.npz').write_text('x')
    with pytest.raises(ValueError, match='bad.npz cannot be read'):
        load(str(tmp_path / 'bad.npz'), 0, 'a.png')
    with pytest.raises(ValueError, match="views must be one of"):
        load('x', 0, 'a.png', views='all')
