import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from PIL import Image

TOOL = 'tools/analysis_tools/class_relation.py'


@pytest.fixture(scope='module')
def checkpoints(tiny_config, tmp_path_factory):
    """A plain net, and one with a representation head; two configs."""
    init_default_scope('mmseg')
    folder = tmp_path_factory.mktemp('checkpoints')
    reco = tiny_config.with_name('tiny_reco.py')
    reco.write_text(
        f"_base_ = './{tiny_config.name}'\n"
        "model = dict(decode_head=dict(_delete_=True, type='EmbeddingHead', "
        'embed_channels=4, hidden_channels=4, '
        'head=_base_.model.decode_head))\n')
    found = []
    for config in (tiny_config, reco):
        model = revert_sync_batchnorm(
            MODELS.build(Config.fromfile(config).model))
        path = folder / f'{config.stem}.pth'
        torch.save(dict(state_dict=model.state_dict()), path)
        found.append((config, path))
    return found


@pytest.fixture
def relate(call_main, tiny_config):

    def run(*options):
        call_main(TOOL, *options, '--cfg-options',
                  f'data_root={tiny_config.parent / "data"}')

    return run


def test_two_models_below_each_other(relate, checkpoints, tmp_path, capsys):
    out = tmp_path / 'pictures/relation.png'
    relate(*checkpoints[0], '--compare', *checkpoints[1], '--names', 'plain',
           'with embedding', '--out', out, '--num-pairs', 2)
    text = capsys.readouterr().out
    assert 'plain, features: mean similarity' in text
    assert 'with embedding, embedding: mean similarity' in text
    with Image.open(out) as image:
        assert np.asarray(image.convert('L')).std() > 10
    found = json.loads(out.with_suffix('.json').read_text())
    assert list(found) == ['plain', 'with embedding']
    assert list(found['plain']) == ['features']
    assert list(found['with embedding']) == ['features', 'embedding']
    relation = found['plain']['features']
    assert relation['classes'] == ['sky', 'hill', 'road']
    assert len(relation['closest_pairs']) == 2
    # 4 images of 32x48, features at 1/8
    assert sum(relation['pixels']) == 4 * 4 * 6
    graph = np.array(relation['graph'])
    np.testing.assert_allclose(np.diag(graph), 1)
    np.testing.assert_allclose(graph, graph.T)


def test_a_few_images(relate, checkpoints, tmp_path):
    relate(*checkpoints[0], '--out', tmp_path / 'x.png', '--num-images', 1)
    found = json.loads((tmp_path / 'x.json').read_text())
    assert sum(found['tiny']['features']['pixels']) == 4 * 6


def test_where_the_picture_goes_by_itself(relate, checkpoints, tmp_path,
                                          monkeypatch):
    monkeypatch.chdir(tmp_path)
    relate(*checkpoints[0], '--num-images', 1)
    folder = tmp_path / 'work_dirs/class_relation'
    assert {path.name for path in folder.iterdir()} == {
        'tiny.png', 'tiny.json'}


def test_checkpoint_without_representation_head(relate, checkpoints,
                                                tmp_path):
    """Its embedding would be random numbers."""
    with pytest.raises(SystemExit, match='has no representation head'):
        relate(checkpoints[1][0], checkpoints[0][1],
               '--out', tmp_path / 'x.png')


def test_wrong_checkpoint(relate, checkpoints, tmp_path):
    torch.save(dict(state_dict=dict(x=torch.zeros(1))), tmp_path / 'x.pth')
    with pytest.raises(SystemExit, match='do not fit this EncoderDecoder'):
        relate(checkpoints[0][0], tmp_path / 'x.pth',
               '--out', tmp_path / 'x.png')


def test_missing_checkpoint(relate, checkpoints, tmp_path):
    with pytest.raises(SystemExit, match=r'nowhere\.pth'):
        relate(checkpoints[0][0], tmp_path / 'nowhere.pth',
               '--out', tmp_path / 'x.png')


@pytest.mark.parametrize('options, message', [
    (['--names', 'a', 'b'], '2 for 1 models'),
    (['--compare', 'c.py', 'd.pth', '--names', 'a', 'a'], 'different --names'),
    (['--num-images', '0'], 'at least 1'),
    (['--out', 'x.jpg'], 'should end with .png, got x.jpg'),
])
def test_bad_options(call_main, capsys, options, message):
    with pytest.raises(SystemExit):
        call_main(TOOL, 'a.py', 'b.pth', '--out', 'x.png', *options)
    assert message in capsys.readouterr().err
