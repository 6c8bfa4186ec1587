"""cluster_figure.py: clusters as the classes they are matched to."""
import re

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS
from PIL import Image

CONFIG = """
_base_ = ['{runtime}']
model = dict(
    type='KMeansSegmentor', encoder=dict(type='RawPixels'), channels=3,
    num_clusters=3, metric='euclidean',
    data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32)))
crf_model = dict(
    type='DenseCRFSegmentor', temperature=500., near_weight=1,
    colour_weight=1)
val_dataloader = dict(dataset=dict(
    type='BaseSegDataset', data_root='{data_root}', img_suffix='.png',
    data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
    metainfo=dict(classes=('a', 'b', 'c'),
                  palette=[[250, 0, 0], [0, 250, 0], [0, 0, 250]]),
    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
              dict(type='PackSegInputs')]))
"""
TOOL = 'tools/analysis_tools/cluster_figure.py'


@pytest.fixture
def trained(tmp_path, project_root, scenes_on_disk):
    """A config, and a checkpoint whose clusters are the colours of classes.

    Cluster 0 is class 2, 1 is 0 and 2 is 1.
    """
    config = tmp_path / 'kmeans.py'
    config.write_text(CONFIG.format(
        runtime=project_root / 'configs/_base_/default_runtime.py',
        data_root=scenes_on_disk))
    cfg = Config.fromfile(config)
    model = MODELS.build(cfg.model)
    sums, counts = torch.zeros(3, 3), torch.zeros(3, 1)
    for sample in DATASETS.build(cfg.val_dataloader.dataset):
        pixels = sample['inputs'].flatten(1).t().float()
        labels = sample['data_samples'].gt_sem_seg.data.flatten()
        for i in range(3):
            sums[i] += pixels[labels == i].sum(dim=0)
            counts[i] += (labels == i).sum()
    kmeans = model.kmeans[0][0]
    kmeans.centroids.copy_((sums / counts)[[2, 0, 1]])
    kmeans.initialized.fill_(True)
    model.clustered_epoch.fill_(0)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'net.pth')
    return config, tmp_path / 'net.pth', model, cfg


def share_of(image: np.ndarray, colour: tuple[int, ...]) -> float:
    return float((np.abs(image.astype(int) - colour).max(axis=2) < 30).mean())


def test_clusters_look_like_their_classes(trained, tmp_path, call_main,
                                          capsys):
    config, checkpoint, *_ = trained
    out = tmp_path / 'new/out.png'
    call_main(TOOL, config, checkpoint, '--out', out, '--num', 2)
    printed = re.search(r'accuracy ([\d.]+) %, mean IoU [\d.]+ % of 3 images',
                        capsys.readouterr().out)
    assert float(printed[1]) > 85  # the colours are noisy
    with Image.open(out) as image:
        pixels = np.asarray(image.convert('RGB'))
    third = pixels.shape[1] // 3
    truth, painted = pixels[:, third:2 * third], pixels[:, 2 * third:]
    for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250)):
        assert share_of(truth, colour) > 0.05
        assert share_of(painted, colour) == pytest.approx(
            share_of(truth, colour), abs=0.06)


def test_without_images_of_the_data_set(trained, tmp_path, call_main):
    config, checkpoint, *_ = trained
    pictures = []
    for name, options in (('all', ()), ('own', ('--predictions-only', ))):
        out = tmp_path / f'{name}.png'
        call_main(TOOL, config, checkpoint, '--out', out, '--num', 1, *options)
        with Image.open(out) as image:
            pictures.append(np.asarray(image.convert('RGB')))
    whole, alone = pictures
    assert alone.shape[1] < 0.6 * whole.shape[1]
    for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250)):
        assert share_of(alone, colour) > 0.05


def test_a_column_behind_a_crf(trained, tmp_path, call_main):
    pytest.importorskip('pydensecrf', reason='pip install pydensecrf2, which '
                        'needs a C++ compiler')
    config, checkpoint, *_ = trained
    widths = []
    for name, options in (('plain', ()), ('crf', ('--crf', ))):
        out = tmp_path / f'{name}.png'
        call_main(TOOL, config, checkpoint, '--out', out, *options)
        with Image.open(out) as image:
            widths.append(image.width)
    assert widths[1] > 1.2 * widths[0]


def test_models_illustrate_their_clusters(trained):
    *_, model, cfg = trained
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    shown = model.illustrate(dataset, 2)
    assert len(shown.rows) == 2 and len(shown.titles) == 3
    assert shown.notes[0].startswith(
        '3 clusters, matched to the classes of 3 images: accuracy ')
    palette = np.array(dataset.metainfo['palette'])
    for row, index in zip(shown.rows, (0, 2)):
        image, truth, painted = row
        assert image.pixels.shape == truth.pixels.shape
        pixels = dataset[index]['inputs'].flatten(1).t().float()
        clusters = model.kmeans[0][0].assign(pixels)[0]
        expected = palette[np.array([2, 0, 1])[clusters]]
        assert np.array_equal(painted.pixels.reshape(-1, 3), expected)
        labels = dataset[index]['data_samples'].gt_sem_seg.data[0].numpy()
        known = labels != 255
        assert np.array_equal(truth.pixels[known], palette[labels[known]])


def test_errors(trained, tmp_path, call_main, project_root):
    config, checkpoint, *_ = trained
    options = ['--out', tmp_path / 'out.png']
    with pytest.raises(SystemExit, match='none.pth'):
        call_main(TOOL, config, tmp_path / 'none.pth', *options)
    other = tmp_path / 'other.py'
    other.write_text("model = dict(type='FCNHead', in_channels=4, "
                     'channels=4, num_classes=3)\n')
    with pytest.raises(SystemExit, match=(
            'of a FCNHead, which predicts no clusters')):
        call_main(TOOL, other, checkpoint, *options)
    unlabeled = tmp_path / 'unlabeled.py'
    text = config.read_text().replace("dict(type='LoadAnnotations'),", '')
    unlabeled.write_text(text)
    with pytest.raises(SystemExit, match='has no labels, to which clusters'):
        call_main(TOOL, unlabeled, checkpoint, *options)
