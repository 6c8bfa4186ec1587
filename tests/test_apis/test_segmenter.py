"""From a checkpoint or a name to label maps."""
import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_ssl.apis import Segmenter
from mmseg_ssl.apis.checkpoints import config_name, open_checkpoint
from mmseg_ssl.apis.files import find_images


@pytest.fixture
def model(tiny_segmentor):
    return tiny_segmentor('fcn_r18-d16')


@pytest.fixture
def images() -> list[np.ndarray]:
    """BGR, of two sizes."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            for size in ((30, 40), (24, 36), (30, 40), (30, 40), (24, 36))]


def test_batches_give_what_single_images_give(model, save_checkpoint, images,
                                              tmp_path):
    segmenter = Segmenter(save_checkpoint(model), device='cpu')
    single = [segmenter(image, confidence=True) for image in images]
    paths = []
    for i, image in enumerate(images):
        paths.append(tmp_path / f'{i}.png')
        Image.fromarray(image[..., ::-1]).save(paths[-1])
    for given in (images, paths):
        batched = segmenter(given, batch_size=3, confidence=True)
        for one, other, image in zip(single, batched, images):
            assert other.labels.dtype == np.uint8
            assert other.labels.shape == image.shape[:2]
            assert np.array_equal(one.labels, other.labels)
            np.testing.assert_allclose(one.confidence, other.confidence,
                                       atol=1e-5)
    assert len({int(label) for r in single for label in np.unique(r.labels)}
               ) > 1
    assert segmenter.classes == ('sky', 'hill', 'road')
    assert segmenter.palette[1] == [10, 254, 1]
    assert segmenter(images[0]).confidence is None
    assert segmenter([]) == []


def test_confidence_is_the_probability_of_the_label(model, save_checkpoint,
                                                    images):
    segmenter = Segmenter(save_checkpoint(model), device='cpu')
    labels, confidence = segmenter(images[0], confidence=True)
    assert 1 / 3 <= confidence.min() and confidence.max() <= 1
    # as a network of one channel, which mmseg turns into a probability
    model.decode_head.update(num_classes=2, out_channels=1, threshold=0.4)
    segmenter = Segmenter(
        save_checkpoint(model, classes=('no', 'yes')), device='cpu')
    labels, confidence = segmenter(images[0], confidence=True)
    assert set(np.unique(labels)) == {0, 1}
    assert confidence[labels == 1].min() > 0.4
    assert confidence[labels == 0].min() >= 0.6


def test_images_that_cannot_be_used(model, save_checkpoint, tmp_path):
    segmenter = Segmenter(save_checkpoint(model), device='cpu')
    with pytest.raises(FileNotFoundError, match='image .*no.png does not'):
        segmenter(tmp_path / 'no.png')
    (tmp_path / 'bad.png').write_bytes(b'not an image')
    with pytest.raises(ValueError, match='image .*bad.png cannot be read'):
        segmenter(tmp_path / 'bad.png')
    with pytest.raises(ValueError, match=r'\(H, W, 3\), not \(4, 5\)'):
        segmenter(np.zeros((4, 5), np.uint8))


def test_checkpoints_that_cannot_be_used(model, save_checkpoint, tmp_path):
    good = save_checkpoint(model)
    content = torch.load(good, weights_only=False)
    with pytest.raises(FileNotFoundError, match='checkpoint .*no.pth does'):
        Segmenter(tmp_path / 'no.pth')
    bad = tmp_path / 'bad.pth'
    bad.write_bytes(good.read_bytes()[:2000])
    with pytest.raises(ValueError, match='bad.pth is no checkpoint, or damag'):
        Segmenter(bad)
    torch.save(dict(state_dict={}), bad)
    with pytest.raises(ValueError, match='bad.pth is no checkpoint'):
        Segmenter(bad)
    torch.save(content['state_dict'], bad)
    with pytest.raises(ValueError, match='bad.pth carries no config'):
        Segmenter(bad)
    with pytest.raises(FileNotFoundError, match='config .*no.py does not'):
        Segmenter(bad, config=tmp_path / 'no.py')

    config = tmp_path / 'five.py'
    config.write_text(content['meta']['cfg'].replace(
        'num_classes=3', 'num_classes=5'))
    with pytest.raises(ValueError, match=r'scenes.pth does not fit its '
                       r'config: decode_head.num_classes is 5, but it was '
                       r'trained on 3 classes \(sky, hill, road\), those of '
                       'another dataset: use the config it was trained with'):
        Segmenter(good, config)
    # a file that does not name its classes
    with pytest.raises(ValueError, match='conv_seg.weight'):
        Segmenter(bad, config)


@pytest.mark.parametrize('change, message', [
    (lambda text: text + "\ncustom_imports = dict(imports=['not_here'])\n",
     'imports what is not here: .*not_here'),
    (lambda text: text.replace("'EncoderDecoder'", "'NotHere'"),
     'names what is not registered: .*NotHere'),
    (lambda text: text + "\nmodel['backbone'] = dict(type='ResNet', depth=9)",
     'cannot be built: .*depth 9'),
    (lambda text: text.replace("'PackSegInputs'", "'Mine'"),
     'test pipeline .* not registered: Mine; import it by custom_imports')])
def test_config_of_another_package(model, save_checkpoint, change, message):
    path = save_checkpoint(model)
    content = torch.load(path, weights_only=False)
    content['meta']['cfg'] = change(content['meta']['cfg'])
    torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        Segmenter(path)


def test_model_without_names_of_classes(model, save_checkpoint):
    path = save_checkpoint(model, classes=())
    segmenter = Segmenter(path, device='cpu')
    assert segmenter.classes == ('class 0', 'class 1', 'class 2')
    assert len(segmenter.palette) == 3


def test_name_of_the_config(model, save_checkpoint, tmp_path):
    checkpoint = open_checkpoint(str(save_checkpoint(model, 'fcn_camvid')))
    assert config_name(checkpoint) == 'fcn_camvid'
    checkpoint.meta.pop('experiment_name')
    assert config_name(checkpoint) == 'fcn_camvid'  # of the file
    (tmp_path / 'other.py').touch()
    assert config_name(checkpoint) == 'other'


def test_find_images(tmp_path):
    for name in ('a/1.jpg', 'a/2.PNG', 'b/1.jpg', 'b/notes.txt'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert list(find_images(tmp_path)) == ['a/1', 'a/2', 'b/1']
    assert list(find_images(tmp_path / 'a')) == ['1', '2']
    assert list(find_images(f'{tmp_path}/*/1.jpg')) == ['a/1', 'b/1']
    assert list(find_images(f'{tmp_path}/b/*.jpg')) == ['1']
    assert list(find_images(tmp_path / 'a/2.PNG')) == ['2']
    # wherever the others are, and whatever a Mac has left
    assert list(find_images(tmp_path, [tmp_path / 'b'])) == ['a/1', 'a/2']
    (tmp_path / 'a/._1.jpg').touch()
    assert list(find_images(tmp_path / 'a')) == ['1', '2']
    (tmp_path / 'link').symlink_to(tmp_path / 'a')
    assert list(find_images(f'{tmp_path}/*/1.jpg', [tmp_path / 'link'])) == [
        'b/1']
    (tmp_path / 'link').unlink()
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r'no image in .*empty \(.jpg, '):
        find_images(tmp_path / 'empty')
    with pytest.raises(ValueError, match='no image in .*/b/.*txt'):
        find_images(f'{tmp_path}/b/*.txt')
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        find_images(tmp_path / 'nowhere')
    (tmp_path / 'a/1.png').touch()
    with pytest.raises(ValueError, match='1.jpg and .*1.png would both be '
                       'written as 1'):
        find_images(tmp_path / 'a')
