"""tsne_figure.py: one panel for each checkpoint."""
import re

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from PIL import Image

TOOL = 'tools/analysis_tools/tsne_figure.py'
MODEL = dict(
    type='MixAndMatch', pool_size=1,
    data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32),
                           mean=[110.] * 3, std=[60.] * 3, seg_pad_val=255),
    patches=dict(num_per_image=6, size_range=(6, 12), out_size=32),
    backbone=dict(type='ResNet', depth=18, base_channels=8,
                  stem_channels=8))


@pytest.fixture
def config(make_cfg, tmp_path):
    path = tmp_path / 'tune.py'
    make_cfg(MODEL, semi=False).dump(path)
    return path


def test_draws_panels(config, tmp_path, call_main, capsys):
    pytest.importorskip('sklearn')
    model = MODELS.build(Config.fromfile(config).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'net.pth')
    out = tmp_path / 'new/tsne.png'
    sizes = []
    for panels in (['before=random'],
                   ['before=random', f'after={tmp_path / "net.pth"}']):
        options = [word for panel in panels for word in ('--features', panel)]
        # patches are fewer than the usual perplexity
        call_main(TOOL, config, *options, '--out', out)
        with Image.open(out) as image:
            sizes.append(image.size)
    assert sizes[1][0] > 1.5 * sizes[0][0]
    printed = capsys.readouterr().out
    assert str(out) in printed
    assert re.search(r'before: nn_acc [\d.]+, .*effective_rank [\d.]+',
                     printed)


def test_errors(config, tmp_path, call_main, tiny_segmentor, make_cfg):
    out = ['--out', tmp_path / 'out.png']
    with pytest.raises(SystemExit, match='none.pth'):
        call_main(TOOL, config, '--features', f'a={tmp_path}/none.pth', *out)
    other = tmp_path / 'other.py'
    make_cfg(tiny_segmentor(), semi=False).dump(other)
    with pytest.raises(SystemExit, match='not of a MixAndMatch'):
        call_main(TOOL, other, '--features', 'a=random', *out)
    with pytest.raises(SystemExit):
        call_main(TOOL, config, '--features', 'random', *out)
