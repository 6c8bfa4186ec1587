"""test.py --server: predictions of test images without labels."""
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmseg.registry import MODELS
from PIL import Image

STEM = 'mix-and-match-finetune_alexnet-fcn_1xb{}-40k_{}-512x512'
THIN = """
_base_ = '{base}'
model = dict(
    backbone=dict(channels=(4, 4, 4, 4, 4), fc_channels=4),
    decode_head=dict(in_channels=4, channels=4))
custom_hooks = [dict(type='PreflightHook', cache_dir='{cache}')]
visualizer = dict(name='{cache}')
"""


@pytest.fixture
def prepare(tmp_path, project_root):
    """A thin version of a shipped config and a checkpoint of it."""

    def write(data: str) -> tuple:
        base = project_root / 'configs/mix_and_match' / (
            STEM.format(16, data) + '.py')
        config = tmp_path / f'{data}.py'
        config.write_text(THIN.format(base=base, cache=tmp_path / 'cache'))
        net = revert_sync_batchnorm(
            MODELS.build(Config.fromfile(config).model))
        torch.save(dict(state_dict=net.state_dict()), tmp_path / 'net.pth')
        return config, tmp_path / 'net.pth', '--work-dir', tmp_path / 'work'

    return write


def test_voc(prepare, tiny_downloads, tmp_path, call_main):
    names = ['2008_01', '2008_02']
    root = tiny_downloads.voc
    (root / 'ImageSets/Segmentation/test.txt').write_text('\n'.join(names))
    call_main('tools/test.py', *prepare('voc12aug'), '--server',
              tmp_path / 'out', '--cfg-options', f'data_root={root}',
              'test_dataloader.num_workers=0',
              'test_dataloader.persistent_workers=False')
    folder = tmp_path / 'out/results/VOC2012/Segmentation/comp6_test_cls'
    assert sorted(path.stem for path in folder.iterdir()) == names
    with Image.open(folder / '2008_01.png') as image:
        assert (image.mode, image.size) == ('P', (80, 72))
        assert np.asarray(image).max() <= 20


def test_cityscapes(prepare, tiny_downloads, tmp_path, call_main):
    root = tiny_downloads.cityscapes
    (root / 'leftImg8bit/val').rename(root / 'leftImg8bit/test')
    call_main('tools/test.py', *prepare('cityscapes'), '--server',
              tmp_path / 'out', '--cfg-options', f'data_root={root}',
              'test_dataloader.num_workers=0',
              'test_dataloader.persistent_workers=False',
              'server_test.evaluator.size=(160,144)')
    files = sorted((tmp_path / 'out').iterdir())
    assert [path.name for path in files] == [
        f'lindau_00000{i}_000019_leftImg8bit.png' for i in range(2)]
    with Image.open(files[0]) as image:
        ids = np.unique(np.asarray(image))
        assert image.size == (160, 144) and ids.min() >= 7


@pytest.mark.parametrize('options, message', [
    ([], '--server: .*has no server_test=dict'),
    (['--out', 'x'], '--server and --out: choose one'),
    (['--tta'], '--server and --tta: choose one')])
def test_what_does_not_go_together(tiny_config, call_main, options, message):
    with pytest.raises(SystemExit, match=message):
        call_main('tools/test.py', tiny_config, 'none.pth', '--server', 'x',
                  *options)
