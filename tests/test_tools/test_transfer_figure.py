"""The figure of puzzles and segmentation, from logs alone."""
import json
import runpy

import pytest
from PIL import Image

TOOL = 'tools/analysis_tools/transfer_figure.py'


def write_run(folder, metric, steps, values, config='') -> None:
    logs = folder / '20260101_000000' / 'vis_data'
    logs.mkdir(parents=True)
    (folder / 'config.py').write_text(config)
    logs.joinpath('scalars.json').write_text(''.join(
        json.dumps({metric: value, 'time': 0.1, 'step': step}) + '\n'
        for step, value in zip(steps, values)))


@pytest.fixture
def make(tmp_path):
    """Write a segmentation; returns its work directory."""
    proxy = tmp_path / 'jigsaw-5x5_mbv2_1xb16-2k_camvid'
    write_run(proxy, 'movable_acc', [100, 200], [20.0, 30.0])

    def write(name, miou, step=200, start=proxy, **transfer):
        checkpoint = start and f'{start}/iter_{step}.pth'
        transfer = dict(checkpoint=checkpoint, **transfer)
        write_run(tmp_path / name, 'mIoU', [50], [miou],
                  f"model = dict(type='TransferEncoderDecoder', "
                  f'transfer={transfer})')
        return tmp_path / name

    return write


def test_numbers_and_picture(make, call_main, tmp_path, capsys):
    out = tmp_path / 'new/figure.png'
    runs = [make('none', 10.0, start=None), make('none-s1', 14.0, start=None),
            make('all', 20.0), make('early', 16.0, step=150),
            make('some', 25.0, freeze=['block1', 'block2']),
            make('some-random', 12.0, freeze=['block1', 'block2'],
                 random=['block3', 'block4', 'block5'])]
    call_main(TOOL, *runs, '--out', out)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        '| none | - | - | block12345 | random | 2 | 12.00 ± 2.83 |',
        '| 5x5 | 150 | 20.0 | block12345 | finetune | 1 | 16.00 |',
        '| 5x5 | 200 | 30.0 | block12345 | finetune | 1 | 20.00 |',
        '| 5x5 | 200 | 30.0 | block345 | finetune | 1 | 25.00 |',
        '| 5x5 | 200 | 30.0 | block345 | random | 1 | 12.00 |',
        str(out)]
    with Image.open(out) as image:
        assert image.width > 2.5 * image.height


def test_curves(make, project_root):
    tool = runpy.run_path(str(project_root / TOOL))
    runs = [make('none', 10.0, start=None), make('all', 20.0),
            make('early', 16.0, step=100),
            make('last', 5.0, freeze=['block1', 'block2', 'block3', 'block4'],
                 random=['block5'])]
    blocks, accuracy = tool['draw'](*tool['collect'](runs)).axes
    styles = {line.get_linestyle(): list(line.get_ydata())
              for line in blocks.lines if len(line.get_ydata()) <= 2}
    assert styles['--'] == [10.0, 10.0] and styles[':'] == [10.0, 5.0]
    line, = accuracy.lines
    assert list(line.get_xdata()) == [20.0, 30.0]
    assert list(line.get_ydata()) == [16.0, 20.0]
    assert [text.get_text() for text in accuracy.texts] == ['100', '200']


def test_without_the_logs_of_the_puzzles(make, project_root, tmp_path):
    tool = runpy.run_path(str(project_root / TOOL))
    runs = [make('gone', 20.0, start=tmp_path / 'jigsaw-3x3_gone')]
    scores, accuracies = tool['collect'](runs)
    assert [cell.puzzle for cell in scores] == ['3x3'] and not accuracies
    assert len(tool['draw'](scores, accuracies).axes) == 1


@pytest.mark.parametrize('transfer, message', [
    (dict(freeze=['block2']), r'shows the first blocks frozen .*\[.block2.\]'),
    (dict(random=['block5']), r'and random=\[.block5.\]')])
def test_other_choices(make, call_main, tmp_path, transfer, message):
    with pytest.raises(SystemExit, match=message):
        call_main(TOOL, make('x', 1.0, **transfer), '--out',
                  tmp_path / 'x.png')


def test_other_models(call_main, tmp_path):
    write_run(tmp_path / 'plain', 'mIoU', [1], [1.0],
              "model = dict(type='EncoderDecoder')")
    with pytest.raises(SystemExit, match='its model is a EncoderDecoder, not'):
        call_main(TOOL, tmp_path / 'plain', '--out', tmp_path / 'x.png')
