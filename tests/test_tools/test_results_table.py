"""Rows and records of finished trainings."""
import hashlib
import json

import pytest

TOOL = 'tools/analysis_tools/results_table.py'


@pytest.fixture
def work_dir(tmp_path):
    folder = tmp_path / 'mine/20260101_000000/vis_data'
    folder.mkdir(parents=True)
    (tmp_path / 'mine/c.py').write_text('randomness = dict(seed=3)\n')
    (folder / 'scalars.json').write_text(
        json.dumps(dict(loss=1.0, time=0.25, iter=5, step=5)) + '\n'
        + json.dumps(dict(mIoU=45.5, time=0.1, step=5)) + '\n')
    (tmp_path / 'mine/last_checkpoint').write_text('/gone/iter_5.pth')
    return tmp_path / 'mine'


def test_rows_and_records(work_dir, call_main, capsys):
    (work_dir / 'iter_5.pth').write_bytes(b'weights')
    checkpoint = hashlib.sha256(b'weights').hexdigest()[:8]
    out = work_dir.parent / 'logs'
    call_main(TOOL, work_dir, '--save', out, '--prefix', 'chain-')
    text = (out / 'chain-mine.json').read_text()
    log = hashlib.sha256(text.encode()).hexdigest()[:8]
    row = capsys.readouterr().out.splitlines()[-1]
    assert row == (f'| `chain-mine` | 3 | 5 | 45.50 | 45.50 (5) | 0.25 |  '
                   f'|  | {log} | {checkpoint} |')
    call_main(TOOL, out / 'chain-mine.json')
    assert capsys.readouterr().out.splitlines()[-1] == row


def test_what_is_missing_is_passed_over(work_dir, call_main, capsys):
    call_main(TOOL, work_dir.parent, work_dir)
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith('| `mine` | 3 | 5 |')
    assert captured.out.endswith(' |  |\n')  # no checkpoint, no hash
    assert 'passed over' in captured.err
    call_main(TOOL, work_dir / 'gone')
    assert f'passed over: {work_dir}/gone does not exist; give the work' in (
        capsys.readouterr().err)


def test_records_go_into_a_folder(work_dir, call_main):
    with pytest.raises(SystemExit, match=(
            '^results_table.py: cannot write to the folder .*c.py: ')):
        call_main(TOOL, work_dir, '--save', work_dir / 'c.py')


@pytest.fixture
def runs(tmp_path):
    """Work directories of a segmentation, puzzles and a colorization."""
    metrics = dict(segment=dict(mIoU=40.125), puzzles=dict(movable_acc=70.0),
                   colours=None)
    for name, metric in metrics.items():
        folder = tmp_path / name / '20260101_000000' / 'vis_data'
        folder.mkdir(parents=True)
        (tmp_path / name / 'c.py').write_text('randomness = dict(seed=1)')
        rows = [dict(loss=4.5 - i, time=1.0, iter=i, step=i)
                for i in (1, 2)]
        if metric:
            rows.append(dict(time=0.1, step=2, **metric))
        (folder / 'scalars.json').write_text(
            ''.join(json.dumps(row) + '\n' for row in rows))
    return [tmp_path / name for name in metrics]


def test_a_table_for_each_metric(runs, call_main, tmp_path, capsys):
    call_main(TOOL, *runs, '--save', tmp_path / 'logs')
    printed = capsys.readouterr().out
    tables = [table.splitlines() for table in printed.split('\n\n')]
    assert [len(table) for table in tables] == [3, 3, 3]
    assert '| last mIoU | best mIoU (iteration) |' in tables[0][0]
    assert '| `segment` | 1 | 2 | 40.12 | 40.12 (2) | 1.00 |' in tables[0][2]
    assert '| last movable_acc |' in tables[1][0]
    assert '| `puzzles` | 1 | 2 | 70.00 | 70.00 (2) |' in tables[1][2]
    assert '| last loss |' in tables[2][0]
    assert '| `colours` | 1 | 2 | 2.50 | 2.50 (2) |' in tables[2][2]
    saved = [tmp_path / f'logs/{run.name}.json' for run in runs]
    call_main(TOOL, *saved)
    assert capsys.readouterr().out == printed
