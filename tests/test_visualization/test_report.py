import base64
import html.parser
import io
import math
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmseg.registry import MODELS
from PIL import Image

from mmseg_ssl.visualization import report
from mmseg_ssl.visualization.panels import Illustration, Panel
from mmseg_ssl.visualization.run_log import Curve, TrainingRun


def make_run(name: str, miou: list[float], seed: int = 0,
             **fields) -> TrainingRun:
    steps = [100 * (i + 1) for i in range(len(miou))]
    default = dict(
        work_dir=Path('work_dirs') / name,
        config_path=Path(f'{name.lower()}_config.py'),
        config=Config(dict(randomness=dict(seed=seed))),
        seed=seed,
        train=dict(
            loss=Curve(steps, [1.0] * len(steps)),
            time=Curve(steps, [0.25] * len(steps)),
            memory=Curve(steps, [2048.0] * len(steps))),
        val=dict(mIoU=Curve(steps, miou)),
        class_iou={'sky': 80.0, 'road': 40.0})
    return TrainingRun(name, **{**default, **fields})


class Page(html.parser.HTMLParser):
    """Text and images of a page, and a check that its tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.images: list[dict] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == 'img':
            self.images.append(dict(attributes))
        elif tag not in ('meta', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != 'style':
            self.words += data.split()

    @property
    def text(self) -> str:
        return ' '.join(self.words)


@pytest.fixture
def runs():
    return [
        make_run('Supervised', [30.0, 40.0]),
        make_run('ReCo', [35.0, 46.0], seed=0),
        make_run('ReCo', [47.0, 44.0], seed=1,
                 class_iou={'sky': 90.0, 'road': math.nan}),
    ]


def test_rows_compare_with_the_first_name(runs):
    rows = report.run_rows(runs)
    assert [row['gain'] for row in rows] == [None, 6.0, 4.0]
    assert [row['last'] for row in rows] == [40.0, 46.0, 44.0]
    assert (rows[2]['best'], rows[2]['best_at']) == (47.0, 100)
    assert rows[0]['seconds'] == 0.25 and rows[0]['memory'] == 2048.0


def test_summary_of_seeds(runs):
    row, = report.summary_rows(runs)
    assert (row['name'], row['count'], row['last']) == ('ReCo', 2, 45.0)
    assert row['last_std'] == pytest.approx(math.sqrt(2))


def test_class_rows_average_over_seeds(runs):
    sky, road = report.class_rows(report.group_runs(runs),
                                  {'sky': 'rgb(1, 2, 3)'})
    assert sky['iou'] == {'Supervised': 80.0, 'ReCo': 85.0}
    assert sky['colour'] == 'rgb(1, 2, 3)' and road['colour'] is None
    assert road['iou']['Supervised'] == 40.0
    assert math.isnan(road['iou']['ReCo'])


def test_runs_without_tables_are_left_out_of_the_class_rows(runs):
    runs[0].class_iou = {}
    rows = report.class_rows(report.group_runs(runs), {})
    assert list(rows[0]['iou']) == ['ReCo']
    for run in runs:
        run.class_iou = {}
    assert report.class_rows(report.group_runs(runs), {}) == []


def test_colour_paints_classes_and_void():
    labels = np.array([[0, 1, 255]])
    painted = report.colour(labels, [[1, 2, 3], [4, 5, 6]])
    assert painted.tolist() == [[[1, 2, 3], [4, 5, 6], [255, 255, 255]]]


def test_page_without_pictures(runs, tmp_path):
    out = tmp_path / 'new' / 'report.html'
    report.write_report(runs, out, num_images=0, title='A <b> & c')
    text = out.read_text()
    page = Page(text)
    assert page.open == []
    assert 'A <b> & c' in page.text
    assert 'supervised_config' in page.text and '45.0 ± 1.4' in page.text
    assert '+6.0' in page.text and 'absent' in page.text
    assert len(page.images) == 2  # the two figures
    # one file that needs no other and no network
    assert all(image['src'].startswith('data:') for image in page.images)
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert not re.search(r'url\(|@import|<script', text)


def test_plain_and_wrapped_segmentors_share_a_plot():
    steps = [1, 2, 3]
    plain = make_run('Plain', [1.0], train={
        'decode.loss_ce': Curve(steps, [3.0, 2.0, 1.0]),
        'time': Curve(steps, [1.0] * 3)})
    wrapped = make_run('Wrapped', [1.0], train={
        'loss_ce': Curve(steps, [6.0, 5.0, 4.0]),
        'loss_unsup': Curve(steps, [0.0] * 3)})
    figure = report.plot_training(
        report.group_runs([plain, wrapped]),
        dict(Plain='#000000', Wrapped='#ff0000'))
    plots = {axes.get_title(): [list(line.get_ydata()) for line in axes.lines]
             for axes in figure.axes if axes.lines}
    plt.close(figure)
    assert plots == {'loss_ce': [[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]],
                     'loss_unsup': [[0.0] * 3]}


def test_rates_of_several_optimisers_are_no_plots():
    curve = Curve([1, 2], [1.0, 2.0])
    run = make_run('Two', [1.0], train={
        'student.lr': curve, 'discriminator.lr': curve, 'lr': curve,
        'student.base_lr': curve, 'loss_adversarial': curve})
    figure = report.plot_training(
        report.group_runs([run]), dict(Two='#000000'))
    titles = [axes.get_title() for axes in figure.axes if axes.lines]
    plt.close(figure)
    assert titles == ['loss_adversarial']


def test_nothing_logged_makes_no_training_plot():
    runs = [make_run('Quiet', [1.0], train={})]
    assert report.plot_training(
        report.group_runs(runs), dict(Quiet='#000000')) is None


def test_page_of_a_single_run(tmp_path):
    report.write_report([make_run('Only', [10.0])], tmp_path / 'r.html', 0)
    page = Page((tmp_path / 'r.html').read_text())
    assert 'Only' in page.text and 'vs.' not in page.text


def accuracy_run(name: str, values: list[float], **fields) -> TrainingRun:
    steps = [100 * (i + 1) for i in range(len(values))]
    return make_run(name, values, val=dict(movable_acc=Curve(steps, values)),
                    class_iou={}, **fields)


def test_runs_of_different_metrics_are_not_compared(tmp_path):
    runs = [accuracy_run('Puzzle', [50.0, 70.0]), make_run('Segment', [40.0]),
            accuracy_run('Harder', [20.0, 30.0]),
            make_run('Colours', [0.0], val={}, class_iou={})]
    rows = report.run_rows(runs)
    assert [row['metric'] for row in rows] == [
        'movable_acc', 'mIoU', 'movable_acc', 'loss']
    assert [row['gain'] for row in rows] == [None, None, -40.0, None]
    report.write_report(runs, tmp_path / 'r.html', num_images=0)
    page = Page((tmp_path / 'r.html').read_text())
    assert page.open == []
    validation = [image['alt'] for image in page.images
                  if image['alt'].startswith('validation')]
    assert validation == ['validation movable_acc over iterations',
                          'validation mIoU over iterations']
    assert 'movable_acc, mIoU, loss on the validation set' in page.text
    assert 'The loss is of training.' in page.text


def test_page_of_a_run_without_validations(tmp_path):
    runs = [make_run('Colours', [], val={}, class_iou={}, train=dict(
        loss=Curve([1, 2, 3], [5.0, 0.5, 0.725])))]
    report.write_report(runs, tmp_path / 'r.html', num_images=0)
    page = Page((tmp_path / 'r.html').read_text())
    assert page.open == []
    assert 'loss last' in page.text and '0.725' in page.text
    assert '0.5 (2)' in page.text and 'Validation' not in page.text


PUZZLES = dict(
    type='JigsawFCN',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[120.] * 3, std=[60.] * 3),
    backbone=dict(
        type='ResNet', depth=18, base_channels=4, stem_channels=4),
    head=dict(type='PatchPositionHead', in_channels=32, hidden_channels=8))


@pytest.fixture
def puzzle_run(scenes_on_disk, tmp_path):
    torch.save(dict(state_dict=MODELS.build(PUZZLES).state_dict()),
               tmp_path / 'iter_2.pth')
    (tmp_path / 'last_checkpoint').write_text('iter_2.pth')
    dataset = dict(
        type='UnlabeledDataset', data_root=str(scenes_on_disk),
        data_prefix=dict(img_path='img_dir/val'),
        pipeline=[dict(type='LoadImageFromFile'),
                  dict(type='Resize', scale=(99, 96)),
                  dict(type='PackSegInputs')])
    return accuracy_run('Puzzle', [50.0], work_dir=tmp_path, config=Config(
        dict(model=PUZZLES, val_dataloader=dict(dataset=dataset))))


def test_puzzles_are_shown_and_solved(puzzle_run, tmp_path):
    report.write_report([puzzle_run], tmp_path / 'r.html', num_images=2)
    page = Page((tmp_path / 'r.html').read_text())
    assert page.open == []
    picture, = (image for image in page.images if image['alt'] == 'Puzzle')
    encoded = picture['src'].partition('data:image/png;base64,')[2]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    assert pixels[..., :3].std() > 20
    # shares of three images, all of them, by position
    shares = page.text.partition('by position: ')[2].split()[:9]
    assert {float(share) for share in shares} <= {0.0, 33.3, 66.7, 100.0}


def test_illustration_of_puzzles(puzzle_run):
    shown = report.make_illustrations([puzzle_run], 2)['Puzzle']
    assert [len(row) for row in shown.rows] == [4, 4, 1]
    image, puzzle, restored, _ = shown.rows[0]
    for panel in (puzzle, restored):  # the same patches elsewhere
        assert np.array_equal(np.sort(panel.pixels, axis=None),
                              np.sort(image.pixels, axis=None))
    centre = np.s_[32:64, 33:66]
    assert np.array_equal(puzzle.pixels[centre], image.pixels[centre])
    assert not np.array_equal(puzzle.pixels, image.pixels)


def test_clusters_are_not_painted_as_classes(runs, tmp_path, monkeypatch):
    """What a model illustrates itself is not shown a second time."""
    name = runs[0].name
    panel = Panel(np.zeros((4, 6, 3), np.uint8))
    shown = {name: Illustration([[panel]], ['x'], notes=['matched clusters'])}
    monkeypatch.setattr(
        report, 'make_illustrations', lambda runs, num: shown)
    predicted = []

    def pictures(runs, num):
        predicted.extend(run.name for run in runs)
        return [], dict(classes=(), palette=())

    monkeypatch.setattr(report, 'make_pictures', pictures)
    report.write_report(runs, tmp_path / 'page.html', num_images=1)
    assert name not in predicted
    assert predicted == [run.name for run in runs if run.name != name]
    assert 'matched clusters' in (tmp_path / 'page.html').read_text()


@pytest.fixture
def trained_run(tiny_segmentor, make_cfg, tmp_path):
    """A run whose checkpoint makes the network answer class 1 everywhere."""

    def make(name: str, answer: int) -> TrainingRun:
        cfg = make_cfg(tiny_segmentor(), semi=False)
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        torch.nn.init.zeros_(model.decode_head.conv_seg.weight)
        with torch.no_grad():
            model.decode_head.conv_seg.bias[:] = torch.eye(3)[answer]
        work_dir = tmp_path / name
        work_dir.mkdir()
        torch.save(dict(state_dict=model.state_dict()),
                   work_dir / 'iter_2.pth')
        (work_dir / 'last_checkpoint').write_text('iter_2.pth')
        return make_run(name, [1.0], config=cfg, work_dir=work_dir)

    return make


def test_pictures_show_image_truth_and_every_prediction(
        trained_run, scenes_on_disk, tmp_path):
    runs = [trained_run('Supervised', 1), trained_run('Ours', 2)]
    pictures, metainfo = report.make_pictures(runs, num_images=2)
    assert [picture.name for picture in pictures] == ['0', '1']
    for picture in pictures:
        folder = scenes_on_disk / 'ann_dir/val'
        truth = np.asarray(Image.open(folder / f'{picture.name}.png'))
        assert np.array_equal(picture.truth, truth)
        image = scenes_on_disk / 'img_dir/val' / f'{picture.name}.png'
        assert np.array_equal(picture.image, np.asarray(Image.open(image)))
        assert (picture.predictions['Supervised'] == 1).all()
        assert (picture.predictions['Ours'] == 2).all()
    assert metainfo['classes'] == ('a', 'b', 'c')

    report.write_report(runs, tmp_path / 'r.html', num_images=2)
    page = Page((tmp_path / 'r.html').read_text())
    labels = [image for image in page.images if image.get('class') == 'labels']
    assert len(labels) == 2 * 3  # truth and two predictions of two images
    encoded = labels[1]['src'].partition('base64,')[2]
    painted = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    assert (painted == [0, 255, 0]).all()  # class 1 in the palette


def test_more_images_asked_than_there_are(trained_run):
    pictures, _ = report.make_pictures([trained_run('Ours', 0)], 100)
    assert [picture.name for picture in pictures] == ['0', '1', '2']
