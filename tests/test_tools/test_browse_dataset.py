"""browse_dataset.py and query_figure.py: what they show of a training."""
import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from PIL import Image
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
CAMVID = ('reco/reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_'
          'camvid-120x160-20l.py')


def load_tool(name: str):
    path = ROOT / f'tools/analysis_tools/{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


browse = load_tool('browse_dataset')
queries = load_tool('query_figure')


@pytest.fixture
def call(monkeypatch, capsys):
    """Call a tool's command line; returns the paths it prints."""

    def run(tool, *arguments) -> list[Path]:
        monkeypatch.setattr(sys, 'argv', ['tool', *map(str, arguments)])
        tool.main()
        return [Path(line) for line in capsys.readouterr().out.splitlines()
                if line.endswith('.png')]

    return run


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert('RGB'))


def area(pixels: np.ndarray, colour: list[int]) -> int:
    return int((pixels == colour).all(axis=2).sum())


GREEN, BLUE = [0, 255, 0], [0, 0, 255]  # classes b and c of ``make_cfg``


@pytest.fixture
def supervised(make_cfg, tiny_segmentor, tmp_path) -> Path:
    path = tmp_path / 'supervised.py'
    make_cfg(tiny_segmentor(), semi=False).dump(path)
    return path


@pytest.fixture
def semi(make_cfg, tiny_segmentor, tmp_path) -> Path:
    model = dict(type='MeanTeacher', segmentor=tiny_segmentor())
    path = tmp_path / 'semi.py'
    make_cfg(model).dump(path)
    return path


def save_weights(config: Path, out: Path, favourite: int) -> None:
    """A checkpoint whose every prediction is one class."""
    cfg = browse.Config.fromfile(config)
    model = MODELS.build(cfg.model)
    segmentor = getattr(model, 'student', model)
    nn.init.zeros_(segmentor.decode_head.conv_seg.weight)
    bias = segmentor.decode_head.conv_seg.bias
    nn.init.zeros_(bias)
    bias.data[favourite] = 10
    if hasattr(model, 'teacher'):
        model.teacher.synchronize(model.student)
    torch.save(dict(state_dict=model.state_dict()), out)


def test_supervised_config_shows_labelled_samples(supervised, tmp_path, call):
    paths = call(browse, supervised, '--num', 3, '--out-dir', tmp_path / 'out')
    assert paths == [tmp_path / 'out/labeled.png']
    pixels = read(paths[0])
    assert area(pixels, GREEN) > 1000 and area(pixels, BLUE) > 1000


def test_semi_supervised_config_shows_both_branches(semi, tmp_path, call):
    paths = call(browse, semi, '--out-dir', tmp_path / 'out')
    assert [p.name for p in paths] == ['labeled.png', 'unlabeled.png']
    labeled, unlabeled = map(read, paths)
    assert area(labeled, GREEN) > 1000 and area(labeled, BLUE) > 1000
    # four rows of six panels against two rows of two pairs
    assert unlabeled.shape[0] > 1.5 * labeled.shape[0]
    assert unlabeled.shape[1] > 1.4 * labeled.shape[1]


@pytest.mark.parametrize('favourite, shown, hidden', [(1, GREEN, BLUE),
                                                      (2, BLUE, GREEN)])
def test_checkpoint_makes_the_pseudo_labels(
        semi, tmp_path, call, favourite, shown, hidden):
    checkpoint = tmp_path / 'weights.pth'
    save_weights(semi, checkpoint, favourite)
    _, out = call(browse, semi, '--checkpoint', checkpoint, '--num', 2,
                  '--out-dir', tmp_path / 'out')
    panel = 360 * 360
    assert area(read(out), shown) > 3.5 * panel  # two panels in each row
    assert area(read(out), hidden) == 0


def test_pictures_come_from_the_models_own_steps(semi, tmp_path, monkeypatch):
    """The mixed batch shown is what ``make_views`` returned."""
    cfg = browse.Config.fromfile(semi)
    init_default_scope('mmseg')
    model = browse.build_model(cfg, None)
    batch, metainfo = browse.load_batch(cfg, 2, seed=0)
    batch = model.data_preprocessor(batch, training=True)
    views = model.make_views(batch['inputs']['unlabeled'],
                             batch['data_samples']['unlabeled'])
    views.labels.fill_(1)
    views.confidence.fill_(1)
    monkeypatch.setattr(model, 'make_views', lambda *_: views)
    rows = []
    monkeypatch.setattr(
        browse, 'save_panels', lambda panels, *_, **__: rows.extend(panels))
    browse.show_unlabeled(
        batch['inputs']['unlabeled'], batch['data_samples']['unlabeled'],
        model, metainfo, tmp_path / 'never.png')
    assert len(rows) == 2
    for row in rows:
        assert (row[4].pixels == GREEN).all()
        assert row[5].caption == '100% above 0.97'


def test_teacher_starts_as_the_student(semi):
    model = browse.build_model(browse.Config.fromfile(semi), None)
    teacher = model.teacher.module.state_dict()
    for name, value in model.student.state_dict().items():
        assert torch.equal(value, teacher[name])


def test_void_counts_for_nothing_in_the_share():
    labels = torch.tensor([0, 1, 255, 255])
    confidence = torch.tensor([0.99, 0.5, 0.99, 0.99])
    assert browse.sure_share(confidence, labels, 0.97) == '50% above 0.97'


def test_seed_decides_what_is_drawn(semi, tmp_path, call):
    first, again, other = (
        read(call(browse, semi, '--num', 2, '--seed', seed, '--out-dir',
                  tmp_path / str(i))[0])
        for i, seed in enumerate((0, 0, 1)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_cannot_be_shown_is_said_in_one_line(
        semi, supervised, tmp_path, call):
    with pytest.raises(SystemExit, match='nowhere.pth'):
        call(browse, semi, '--checkpoint', tmp_path / 'nowhere.pth')
    with pytest.raises(SystemExit):
        call(browse, semi, '--num', 1)
    checkpoint = tmp_path / 'weights.pth'
    torch.save(dict(state_dict={'other': torch.zeros(1)}), checkpoint)
    for tool, arguments in ((browse, [semi, '--checkpoint', checkpoint]),
                            (queries, [supervised, checkpoint, '--out', 'x'])):
        with pytest.raises(SystemExit, match='do not fit'):
            call(tool, *arguments)


class SureOfClassOne(nn.Module):
    """Logits 0 and ``gap``, everywhere."""

    def __init__(self, gap: float) -> None:
        super().__init__()
        self.gap = gap

    def encode_decode(self, images, metas):
        logits = images.new_zeros(1, 2, *images.shape[2:])
        logits[:, 1] = self.gap
        return logits


def test_probability_is_that_of_the_true_class():
    labels = torch.tensor([[0, 1, 255]])
    images = torch.zeros(1, 3, 1, 3)
    prob = queries.true_class_probability(SureOfClassOne(2.), images, labels)
    sure = 1 / (1 + np.exp(-2.))
    np.testing.assert_allclose(prob, [[1 - sure, sure, 0]], rtol=1e-5)


def test_student_is_asked_not_the_teacher():
    model = SureOfClassOne(-9.)
    model.student = SureOfClassOne(9.)
    prob = queries.true_class_probability(
        model, torch.zeros(1, 3, 1, 1), torch.tensor([[1]]))
    assert prob.item() > 0.99


def test_queries_are_marked_by_the_threshold():
    image = np.full((1, 4, 3), 100, np.uint8)
    labels = torch.tensor([[0, 1, 1, 255]])
    probability = torch.tensor([[0.969, 0.97, 1.0, 0.0]])
    panel = queries.mark_queries(image, probability, labels, 0.97)
    hard, easy, also_easy, void = panel.pixels[0].tolist()
    assert hard[0] > 150 and hard[2] < 50
    assert easy == also_easy and easy[2] > 120 and easy[0] < 50
    assert void == [100, 100, 100]
    assert panel.caption == '33% hard'


@pytest.mark.parametrize('config', ['supervised', 'semi'])
def test_query_figure(request, config, tmp_path, call):
    config = request.getfixturevalue(config)
    checkpoint = tmp_path / 'weights.pth'
    save_weights(config, checkpoint, 1)
    out, = call(queries, config, checkpoint, '--num', 2, '--out',
                tmp_path / 'queries.png')
    pixels = read(out)
    assert area(pixels, GREEN) > 1000  # truth
    legend_only = area(pixels, list(queries.HARD_COLOUR))
    assert 100 < legend_only < 2000


def test_on_camvid(tmp_path, call):
    if 'MMSEG_SSL_DATA_ROOT' not in os.environ:
        pytest.skip('set MMSEG_SSL_DATA_ROOT to the folder of the datasets')
    data_root = Path(os.environ['MMSEG_SSL_DATA_ROOT'], 'camvid')
    paths = call(browse, ROOT / 'configs' / CAMVID, '--num', 2, '--out-dir',
                 tmp_path, '--cfg-options', f'data_root={data_root}')
    labeled, unlabeled = map(read, paths)
    road = [128, 64, 128]
    assert area(labeled, road) > 10000
    assert unlabeled.shape[1] > labeled.shape[1]
