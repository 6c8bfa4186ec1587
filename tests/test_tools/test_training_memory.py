"""One measurement in this process; a table would start others."""
import json
from pathlib import Path

import pytest

TOOL = 'tools/benchmarks/training_memory.py'
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.mark.parametrize('name', [
    'supervised/supervised_mbv2-d16-deeplabv3plus_1xb8-1k_scenes-10l',
    'reco/reco-classmix_mbv2-d16-deeplabv3plus_1xb4-1k_scenes-10l'])
def test_measures_a_step(call_main, capsys, name):
    call_main(TOOL, CONFIGS / f'{name}.py', '--one', '--steps', 1, '--crop',
              48, 64, '--device', 'cpu')
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found['seconds'] > 0
    assert found['peak'] >= found['before'] > 50


def test_no_step(call_main, capsys):
    with pytest.raises(SystemExit):
        call_main(TOOL, 'config.py', '--steps', 0)
    assert '--steps must be at least 1' in capsys.readouterr().err
