"""prediction_figure.py: pictures of what trained models predict."""
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

TOOL = 'tools/analysis_tools/prediction_figure.py'
ROAD = (90, 90, 90)


@pytest.fixture
def work_dir(tiny_config, tmp_path):
    """What a training leaves, of a model that sees road everywhere."""
    cfg = Config.fromfile(tiny_config)
    data_root = str(tiny_config.parent / 'data')
    cfg.val_dataloader.dataset.data_root = data_root
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    classifier = model.decode_head.conv_seg
    torch.nn.init.zeros_(classifier.weight)
    classifier.bias.data = torch.tensor([0., 0., 1.])
    folder = tmp_path / 'run'
    logs = folder / '20260101_000000' / 'vis_data'
    logs.mkdir(parents=True)
    cfg.dump(folder / 'tiny.py')
    (logs / 'scalars.json').write_text(
        '{"mIoU": 12.5, "time": 1.0, "step": 4}\n')
    torch.save(dict(state_dict=model.state_dict(), meta=dict(iter=4)),
               folder / 'iter_4.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_4.pth'))
    return folder


def coloured_share(path, colour):
    """Share of the pixels of a PNG that have a colour (in [0, 255])."""
    pixels = (255 * plt.imread(path)[..., :3]).round()
    return (np.abs(pixels - colour) < 2).all(axis=2).mean()


def test_predictions_beside_truth_or_alone(work_dir, call_main):
    full, alone = work_dir / 'full.png', work_dir / 'alone.png'
    run = ('--run', f'grey={work_dir}', '--num-images', 2)
    call_main(TOOL, full, *run)
    call_main(TOOL, alone, *run, '--predictions-only')
    # side by side; all road, where image and truth are of other colours
    assert plt.imread(full).shape[0] > 1.4 * plt.imread(alone).shape[0]
    assert coloured_share(alone, ROAD) > 0.6
    assert 0.2 < coloured_share(full, ROAD) < 0.5
    assert coloured_share(full, (10, 10, 200)) > 0.05


def test_folder_that_is_no_run(tmp_path, call_main):
    with pytest.raises(SystemExit, match='is not the work directory of a'):
        call_main(TOOL, tmp_path / 'p.png', '--run', f'a={tmp_path}')
