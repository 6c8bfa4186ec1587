"""The ablation configs change what their names say, and nothing else."""
import pytest
from mmengine.config import Config

BASE = 'reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l'
ABLATIONS = {
    'random-query-random-key': dict(
        query_sampling='random', key_sampling='random'),
    'hard-query-random-key': dict(key_sampling='random'),
    'easy-query-active-key': dict(query_sampling='easy'),
    'q32': dict(num_queries=32),
    'q512': dict(num_queries=512),
    'k64': dict(num_keys=64),
    'k1024': dict(num_keys=1024),
}


@pytest.fixture
def read(project_root):

    def run(suffix=''):
        return Config.fromfile(
            project_root / f'configs/reco/{BASE}{suffix}.py').to_dict()

    return run


@pytest.mark.parametrize('suffix', ABLATIONS)
def test_one_change_of_the_loss(read, suffix):
    base, ablation = read(), read(f'-{suffix}')
    base['model']['loss_contrast'].update(ABLATIONS[suffix])
    assert ablation['model'] == base['model']
    assert ablation['train_dataloader'] == base['train_dataloader']


@pytest.mark.parametrize('share', [10, 50])
def test_share_of_the_unlabelled_images(read, share):
    base, ablation = read(), read(f'-u{share}')
    indices = ablation['train_dataloader']['dataset'].pop('indices')
    assert len(indices) == pytest.approx(367 * share / 100, abs=1)
    assert len(set(indices)) == len(indices) and max(indices) < 367
    assert ablation['train_dataloader'] == base['train_dataloader']
    assert ablation['model'] == base['model']
