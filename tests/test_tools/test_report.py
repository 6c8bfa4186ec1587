import json
import sys

import pytest

TOOL = 'tools/analysis_tools/report.py'


def test_report_of_logs_alone(tmp_path, run_tool):
    for name, miou in (('a', 40.0), ('b', 45.5)):
        folder = tmp_path / name / '20260101_000000' / 'vis_data'
        folder.mkdir(parents=True)
        (tmp_path / name / 'c.py').write_text('')
        (folder / 'scalars.json').write_text(
            json.dumps(dict(loss=1.0, time=1.0, iter=5, step=5)) + '\n'
            + json.dumps(dict(mIoU=miou, time=1.0, step=5)) + '\n')
    out = tmp_path / 'report.html'
    code, output = run_tool(
        sys.executable, TOOL, out,
        '--run', f'Supervised={tmp_path / "a"}',
        '--run', f'ReCo + ClassMix={tmp_path / "b"}', '--num-images', 0)
    assert code == 0, output
    lines = output.splitlines()
    assert lines[-1] == str(out) and out.exists()
    assert lines[-2] == (
        'ReCo + ClassMix: 45.5 mIoU at iteration 5 (best 45.5)')


def test_folder_that_is_no_run(tmp_path, call_main):
    with pytest.raises(SystemExit, match='is not the work directory of a'):
        call_main(TOOL, tmp_path / 'r.html', '--run', f'Ours={tmp_path}')


def test_run_without_a_name(tmp_path, call_main, capsys):
    with pytest.raises(SystemExit, match='2'):
        call_main(TOOL, tmp_path / 'r.html', '--run', 'work_dirs/ours')
    assert 'not of the form NAME=WORK_DIR' in capsys.readouterr().err
