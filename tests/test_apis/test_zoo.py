"""Models by name."""
import pytest
import yaml

from mmseg_ssl.apis import Segmenter, find_model
from mmseg_ssl.apis.checkpoints import locate
from mmseg_ssl.apis.zoo import zoo_root


@pytest.fixture
def zoo(tmp_path):
    """A zoo of three models, one of them with weights."""
    models = [
        dict(Name='reco_mbv2_camvid', Config='configs/reco/reco.py',
             Weights='https://example.com/reco-01234567.pth', Alias=['reco']),
        dict(Name='reco_mbv2_camvid-20l', Config='configs/reco/less.py',
             Weights='weights of this model'),
        dict(Name='s4gan_r18_camvid', Config='configs/s4gan.py', Alias='gan',
             Weights='local.pth')]
    (tmp_path / 'model-index.yml').write_text(
        yaml.safe_dump(dict(Import=['metafile.yml'])))
    (tmp_path / 'metafile.yml').write_text(
        yaml.safe_dump(dict(Models=models)))
    (tmp_path / 'local.pth').touch()
    return tmp_path


@pytest.mark.parametrize('name', [
    'reco_mbv2_camvid', 'ReCo', 'configs/reco/reco_mbv2_camvid.py'])
def test_names(zoo, name):
    found = find_model(name, zoo)
    assert found.name == 'reco_mbv2_camvid'
    assert found.weights == 'https://example.com/reco-01234567.pth'
    assert found.config == zoo / 'configs/reco/reco.py'


def test_weights_beside_the_zoo(zoo):
    assert find_model('gan', zoo).weights == str(zoo / 'local.pth')


def test_unknown_name(zoo):
    with pytest.raises(ValueError) as error:
        find_model('reco_mvb2_camvid', zoo)
    assert ('near names are reco_mbv2_camvid, reco_mbv2_camvid-20l'
            in str(error.value))
    with pytest.raises(ValueError, match='near names are s4gan_r18_camvid'):
        find_model('r18', zoo)
    with pytest.raises(ValueError, match=(
            r"'zzz' is neither .* name that .*configs/\*/metafile.yml lists")):
        find_model('zzz', zoo)


def test_weights_that_nobody_published(zoo):
    with pytest.raises(ValueError, match='no weights of reco_mbv2_camvid-20l '
                       'are published: train it .*configs/reco/less.py'):
        find_model('reco_mbv2_camvid-20l', zoo)


def test_zoo_of_this_package():
    """Its metafiles can be read, and a near name is found in them."""
    assert (zoo_root() / 'model-index.yml').is_file()
    with pytest.raises(ValueError, match='no weights of reco-classmix_'):
        Segmenter('reco-classmix_mbv2-d16-deeplabv3plus_1xb4-1k_scenes-10l')
    with pytest.raises(ValueError, match='near names are .*classmix'):
        Segmenter('reco-classmix_mbv2-d16-deeplabv3plus_1xb4-1k_scenes')


def test_work_directory(tmp_path):
    """Is no checkpoint, whether it holds some or none."""
    with pytest.raises(ValueError, match=(
            f'^{tmp_path} is a folder without checkpoints; .*iter_4000.pth')):
        locate(tmp_path)
    paths = [tmp_path / f'iter_{i}.pth' for i in (500, 4000)]
    for path in paths:
        path.touch()
    with pytest.raises(ValueError, match=(
            f'is a folder; give a checkpoint in it: {paths[0]}, {paths[1]}$')):
        locate(tmp_path)


def test_urls_and_paths():
    assert locate('https://example.com/a.pth') == (
        'https://example.com/a.pth', None)
    for path in ('no.pth', 'work_dirs/no'):
        with pytest.raises(FileNotFoundError, match=f'{path} does not exist'):
            locate(path)
