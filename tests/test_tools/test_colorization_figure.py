"""colorization_figure.py: image, grey, colours."""
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from PIL import Image

CONFIG = """
_base_ = ['{runtime}']
crop_size = (24, 24)
model = dict(
    type='{type}',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[110.] * 3, std=[60.] * 3,
        bgr_to_rgb=True, size=crop_size),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8,
                  out_indices=(0, 3)){head})
"""
HEAD = """,
    head=dict(type='ColorizationHead', in_channels=(8, 64), channels=8)"""


@pytest.fixture
def make_config(tmp_path, project_root):

    def make(kind='Colorization', head=HEAD):
        path = tmp_path / f'{kind}.py'
        path.write_text(CONFIG.format(
            runtime=project_root / 'configs/_base_/default_runtime.py',
            type=kind, head=head))
        return path

    return make


def test_paints_rows(make_config, tmp_path, scenes_on_disk, call_main,
                     capsys):
    path = make_config()
    model = MODELS.build(Config.fromfile(path).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'net.pth')
    call_main('tools/analysis_tools/colorization_figure.py', path,
              tmp_path / 'net.pth', '--images',
              scenes_on_disk / 'img_dir/train', '--out',
              tmp_path / 'new/out.png', '--num', 2)
    assert str(tmp_path / 'new/out.png') in capsys.readouterr().out
    with Image.open(tmp_path / 'new/out.png') as image:
        pixels = np.asarray(image.convert('RGB'))
        width, height = image.size
    assert width > height  # three columns, two rows
    middle = pixels[:, width // 3:2 * width // 3]
    # the middle column is grey, the first is not
    assert np.ptp(middle, axis=2).max() < 30 < np.ptp(pixels, axis=2).max()


def test_errors(make_config, tmp_path, call_main, scenes_on_disk):
    tool = 'tools/analysis_tools/colorization_figure.py'
    options = ['--images', scenes_on_disk, '--out', tmp_path / 'out.png']
    with pytest.raises(SystemExit, match='of a MixAndMatch, not of a Color'):
        call_main(tool, make_config('MixAndMatch', ''), 'none.pth', *options)
    with pytest.raises(SystemExit, match='none.pth'):
        call_main(tool, make_config(), tmp_path / 'none.pth', *options)
