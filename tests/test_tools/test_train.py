"""The command lines of training and evaluation, as a user types them."""
import json
import os
import re
import runpy
import socket
import sys
from pathlib import Path

import mmseg
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import CheckpointLoader
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def losses(work_dir: Path) -> dict[int, float]:
    """Training loss by iteration, over all sessions."""
    found = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            values = json.loads(line)
            if 'loss' in values:
                found[values['iter']] = values['loss']
    return found


def free_port() -> str:
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return str(sock.getsockname()[1])


@pytest.fixture(scope='module')
def trained(tiny_config, run_tool, tmp_path_factory) -> Path:
    """A work dir of two iterations, resumed for two more."""
    work_dir = tmp_path_factory.mktemp('trained')
    data_root = tiny_config.parent / 'data'
    for options in (['train_cfg.max_iters=2'], ['--resume']):
        code, output = run_tool(
            sys.executable, 'tools/train.py', tiny_config,
            '--work-dir', work_dir,
            '--cfg-options', f'data_root={data_root}', *options)
        assert code == 0, output
    assert 'resumed epoch: 0, iter: 2' in output
    return work_dir


def test_resume_goes_on(trained):
    assert sorted(losses(trained)) == [1, 2, 3, 4]
    assert (trained / 'iter_4.pth').exists()


def test_memory_is_logged_without_a_gpu(trained):
    line = next(trained.glob('*/vis_data/scalars.json')).read_text()
    assert 50 < json.loads(line.splitlines()[0])['memory'] < 100_000


def test_mmsegs_own_tool_trains_our_config(tiny_config, run_tool, tmp_path,
                                           trained):
    tool = Path(mmseg.__file__).parent / '.mim/tools/train.py'
    config = tmp_path / 'tiny_here.py'
    config.write_text(tiny_config.read_text().replace(
        str(tiny_config.parent / 'nowhere'), str(tiny_config.parent / 'data')))
    code, output = run_tool(
        sys.executable, tool, config, '--work-dir', tmp_path / 'work')
    assert code == 0, output
    assert losses(tmp_path / 'work')[1] == losses(trained)[1]


@pytest.mark.parametrize('tool, arguments, message', [
    ('train', ['no.py'], 'config no.py does not exist'),
    ('test', ['no.py', 'no.pth'], 'config no.py does not exist'),
    ('train', ['{config}', '--cfg-options', 'load_from=a/no.pth'],
     'checkpoint a/no.pth does not exist'),
    ('test', ['{config}', 'no.pth'], 'checkpoint no.pth does not exist'),
    ('test', ['{config}', '{config.parent}/data'],
     '.*/data is a folder without checkpoints; trainings leave theirs'),
    ('test', ['{config}', '{config}', '--ensemble', 'no.py', 'no.pth'],
     'config no.py does not exist'),
    ('train', ['{config}', '--work-dir', '{config}/work'],
     'cannot write to the folder .*/work: .*; choose another one'),
    ('test', ['{config}', '{config}', '--work-dir', '{config}/work'],
     'cannot write to the folder .*/work: .*; choose another one')])
def test_arguments_that_cannot_be(tiny_config, call_main, tool, arguments,
                                  message):
    """Are refused in one line, before anything is built."""
    with pytest.raises(SystemExit, match=f'^{tool}.py: {message}'):
        call_main(f'tools/{tool}.py', *(
            argument.format(config=tiny_config) for argument in arguments))


def test_checkpoints_that_cannot_be(tiny_config, call_main, tmp_path):
    """Damaged, or of another dataset: one line says so."""
    bad = tmp_path / 'bad.pth'
    options = ['--work-dir', tmp_path / 'work', '--cfg-options',
               f'data_root={tiny_config.parent / "data"}',
               f'visualizer.name={tmp_path}']
    torch.save(dict(state_dict={}, meta=dict(
        dataset_meta=dict(classes=('cat', 'dog')))), bad)
    with pytest.raises(SystemExit, match=(
            r'^test\.py: .*bad\.pth does not fit its config: decode_head\.'
            r'num_classes is 3, but it was trained on 2 classes \(cat, dog')):
        call_main('tools/test.py', tiny_config, bad, *options)
    bad.write_text('no weights')
    with pytest.raises(SystemExit, match=r'^train\.py: .*bad.pth is no check'):
        call_main('tools/train.py', tiny_config, *options, f'load_from={bad}')
    transfer = [*options, 'model.type=TransferEncoderDecoder',
                f'visualizer.name={tmp_path}/transfer']
    with pytest.raises(SystemExit, match=(
            r"^train\.py: transfer\.checkpoint='a/no\.pth' does not exist")):
        call_main('tools/train.py', tiny_config, *transfer,
                  'model.transfer.checkpoint=a/no.pth')


@pytest.mark.skipif(get_device() != 'cpu', reason='there is a GPU')
def test_amp_without_a_gpu_is_refused_in_one_line(tiny_config, run_tool):
    code, output = run_tool(
        sys.executable, '-W', 'ignore', 'tools/train.py', tiny_config, '--amp')
    assert code == 1
    lines = [line for line in output.splitlines() if 'OneDL' not in line]
    assert len(lines) == 1 and 'needs a GPU' in lines[0]


@pytest.mark.parametrize('device', ['cpu', 'mps'])
def test_amp_needs_cuda(device, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: device)
    tool = runpy.run_path(str(ROOT / 'tools/train.py'))
    with pytest.raises(SystemExit, match='needs a GPU with CUDA.*without --a'):
        tool['enable_amp'](Config(dict(
            optim_wrapper=dict(type='OptimWrapper'))))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_amp_on_a_gpu(tiny_config, run_tool, tmp_path):
    code, output = run_tool(
        sys.executable, 'tools/train.py', tiny_config, '--amp', '--work-dir',
        tmp_path, '--cfg-options',
        f'data_root={tiny_config.parent / "data"}')
    assert code == 0, output
    checkpoint = CheckpointLoader.load_checkpoint(str(tmp_path / 'iter_4.pth'))
    assert 'loss_scaler' in checkpoint['optimizer']


def test_evaluation_writes_maps_and_pictures(trained, tiny_config, run_tool,
                                             tmp_path):
    code, output = run_tool(
        sys.executable, 'tools/test.py', tiny_config, trained / 'iter_4.pth',
        '--work-dir', tmp_path, '--out', tmp_path / 'maps', '--show-dir',
        tmp_path / 'shown', '--cfg-options',
        f'data_root={tiny_config.parent / "data"}')
    assert code == 0, output
    maps = sorted((tmp_path / 'maps').glob('*.png'))
    assert [path.stem for path in maps] == ['0', '1', '2', '3']
    assert set(np.unique(np.asarray(Image.open(maps[0])))) <= {0, 1, 2}
    shown = list((tmp_path / 'shown').rglob('*.png'))
    assert len(shown) == 4
    curve = (json.loads(line) for line in
             max(trained.glob('*/vis_data/scalars.json')).open())
    validated = [point['mIoU'] for point in curve if 'mIoU' in point]
    tested = re.search(r'Iter\(test\) \[4/4\].*mIoU: ([\d.]+)', output)
    assert float(tested[1]) == pytest.approx(validated[-1], abs=0.01)


def test_test_time_augmentation(trained, tiny_config, run_tool, tmp_path):
    code, output = run_tool(
        sys.executable, 'tools/test.py', tiny_config, trained / 'iter_4.pth',
        '--work-dir', tmp_path, '--tta', '--cfg-options',
        f'data_root={tiny_config.parent / "data"}')
    assert code == 0, output
    assert re.search(r'Iter\(test\) \[4/4\].*mIoU: [\d.]+', output)


@pytest.mark.skipif(get_device() != 'cpu', reason='about CPUs (gloo)')
def test_two_processes_train_and_evaluate_on_cpus(tiny_config, run_tool,
                                                  tmp_path):
    options = ['--work-dir', tmp_path, '--cfg-options',
               f'data_root={tiny_config.parent / "data"}']
    code, output = run_tool(
        'bash', 'tools/dist_train.sh', tiny_config, 2, *options,
        PORT=free_port())
    assert code == 0, output
    assert 'SyncBN needs a GPU' in output
    assert sorted(losses(tmp_path)) == [1, 2, 3, 4]

    checkpoint = tmp_path / 'iter_4.pth'
    code, by_two = run_tool(
        'bash', 'tools/dist_test.sh', tiny_config, checkpoint, 2, *options,
        PORT=free_port())
    assert code == 0, by_two
    code, by_one = run_tool(
        sys.executable, 'tools/test.py', tiny_config, checkpoint, *options)
    assert code == 0, by_one
    metrics = [re.findall(r'(aAcc: [\d.]+  mIoU: [\d.]+)', output)
               for output in (by_two, by_one)]
    assert len(metrics[0]) == 1 and metrics[0] == metrics[1]


@pytest.mark.parametrize('spelling', ['--local_rank', '--local-rank'])
@pytest.mark.parametrize('tool', ['train.py config', 'test.py config ckpt'])
def test_both_spellings_of_the_local_rank(tool, spelling, monkeypatch):
    name, *positional = tool.split()
    monkeypatch.setattr(sys, 'argv', [name, *positional, f'{spelling}=3'])
    monkeypatch.setenv('LOCAL_RANK', '')  # restored afterwards
    monkeypatch.delenv('LOCAL_RANK')
    runpy.run_path(str(ROOT / 'tools' / name))['parse_args']()
    assert os.environ['LOCAL_RANK'] == '3'
