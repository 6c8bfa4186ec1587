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
        json.dumps(dict(loss=1.0, time=0.25, step=5)) + '\n'
        + json.dumps(dict(mIoU=45.5, step=5)) + '\n')
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
