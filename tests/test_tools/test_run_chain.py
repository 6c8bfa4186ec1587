"""run_chain.py: stages that start from each other."""
import json
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmseg.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]

STAGE = """
_base_ = ['{base}']
visualizer = dict(name='{name}')  # runs of one process must not share it
default_hooks = dict(
    checkpoint=dict(interval=1, save_best=None), logger=dict(interval=1))
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=2,
                 val_interval=2)
"""
TUNE = STAGE + """
norm_cfg = dict(type='BN')
model = dict(
    _delete_=True, type='MixAndMatch', in_index=0, pool_size=2,
    data_preprocessor=dict(
        type='SegDataPreProcessor', size=(32, 48), seg_pad_val=255),
    patches=dict(num_per_image=4, size_range=(8, 12), out_size=16),
    backbone=dict(
        type='ResNet', depth=18, base_channels=8, num_stages=2,
        strides=(1, 2), dilations=(1, 1), out_indices=(1,),
        norm_cfg=norm_cfg))
val_evaluator = dict(_delete_=True, type='PatchRetrieval')
"""
WIDER = STAGE + """
model = dict(backbone=dict(base_channels=16),
             decode_head=dict(in_channels=32))
"""


@pytest.fixture
def configs(tiny_config, tmp_path):
    """Configs of stages, and the options that every run needs."""
    paths = []
    for name, text in (('tune', TUNE), ('finetune', STAGE),
                       ('wider', WIDER)):
        path = tmp_path / f'{name}.py'
        path.write_text(text.replace('{base}', str(tiny_config)).replace(
            '{name}', uuid.uuid4().hex))
        paths.append(path)
    return paths, ['--cfg-options', f'data_root={tiny_config.parent}/data']


@pytest.fixture
def in_process(monkeypatch, call_main):
    """Let trainings run in this process, which saves their imports."""

    real_run = subprocess.run

    def run(command, **kwargs):
        if 'train.py' not in str(command):
            return real_run(command, **kwargs)
        try:
            call_main('tools/train.py', *command[2:])
        except Exception as error:
            print(repr(error))
            return subprocess.CompletedProcess(command, 1)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', run)


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return CheckpointLoader.load_checkpoint(
        str(checkpoint), map_location='cpu')['state_dict']


def test_chain(configs, in_process, call_main, tmp_path, capsys):
    """Two stages; again; and again after the second was interrupted.

    It is resumed in the middle, from a state that the training left behind
    there, and ends as if nothing had happened.
    """
    (tune, finetune, _), options = configs
    root = tmp_path / 'chain'
    command = ['tools/run_chain.py', tune, finetune, '--work-root', root,
               *options]
    call_main(*command)
    first, second = root / 'tune', root / 'finetune'
    start = json.loads((second / 'started_from.json').read_text())
    assert start == str(first / 'iter_2.pth')
    assert json.loads((first / 'started_from.json').read_text()) is None
    dumped = Config.fromfile(second / 'finetune.py')
    assert dumped.model.backbone.init_cfg[-1] == dict(
        type='Pretrained', checkpoint=start, prefix='backbone.')
    report = (root / 'report-finetune.md').read_text().splitlines()
    assert len(report) == 4
    assert '| tune | - | 2 |' in report[2] and 'nn_acc' in report[2]
    assert '| finetune | tune | 2 |' in report[3] and 'mIoU' in report[3]
    assert 'loss_triplet' in report[2] and 'decode.loss_ce' in report[3]

    before = weights(second / 'iter_2.pth')
    middle = weights(second / 'iter_1.pth')
    assert any(not torch.equal(value, before[name])
               for name, value in middle.items())
    (second / 'iter_2.pth').unlink()
    (second / 'last_checkpoint').write_text(str(second / 'iter_1.pth'))
    capsys.readouterr()
    call_main(*command)
    output = capsys.readouterr()
    assert output.out.count('finished before') == 1
    assert 'resumed epoch: 0, iter: 1' in output.out + output.err
    for name, value in weights(second / 'iter_2.pth').items():
        assert torch.equal(value, before[name]), name


@pytest.fixture
def finished_stage(configs, tmp_path):
    """A work root whose first stage is finished, without training it."""
    (tune, *_), _ = configs
    root = tmp_path / 'chain'
    work_dir = root / 'tune'
    work_dir.mkdir(parents=True)
    cfg = Config.fromfile(tune)
    cfg.dump(work_dir / 'tune.py')
    length = dict(max_iters=2, max_epochs=1)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(),
                    meta=dict(iter=2, epoch=0),
                    message_hub=dict(runtime_info=length)),
               work_dir / 'iter_2.pth')
    (work_dir / 'last_checkpoint').write_text('/elsewhere/iter_2.pth')
    (work_dir / 'started_from.json').write_text('null')
    return root


def fails(call_main, *arguments) -> str:
    with pytest.raises(SystemExit) as stop:
        call_main('tools/run_chain.py', *arguments)
    return str(stop.value)


def test_missing_checkpoint_of_a_stage(configs, finished_stage, call_main):
    (tune, finetune, _), options = configs
    (finished_stage / 'tune/iter_2.pth').unlink()
    message = fails(call_main, tune, finetune, '--work-root', finished_stage,
                    *options)
    assert ('tune: ' in message and 'last_checkpoint names iter_2.pth, which '
            'is not there' in message)
    assert not (finished_stage / 'finetune').exists()


def test_start_from_nothing(configs, call_main, tmp_path):
    (_, finetune, _), options = configs
    message = fails(call_main, finetune, '--work-root', tmp_path / 'x',
                    '--start-from', tmp_path / 'empty', *options)
    assert message == ('run_chain.py: --start-from: there is no checkpoint in '
                       f'{tmp_path / "empty"}')


def test_start_from_an_unfinished_training(
        configs, finished_stage, call_main):
    """A folder must be finished; a checkpoint is taken as it is."""
    (_, finetune, wider), options = configs
    folder = finished_stage / 'tune'
    path = folder / 'iter_2.pth'
    state = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    state['message_hub']['runtime_info']['max_iters'] = 5
    torch.save(state, path)
    root = finished_stage / 'other'
    message = fails(call_main, finetune, '--work-root', root,
                    '--start-from', folder, *options)
    assert (f'the training in {folder} is not finished, iter_2.pth is of '
            'iteration 2 of 5') in message
    assert not root.exists()
    assert 'same backbone' in fails(  # gets as far as looking at the weights
        call_main, wider, '--work-root', root, '--start-from', path, *options)


def test_backbones_that_do_not_fit(configs, finished_stage, call_main):
    (tune, _, wider), options = configs
    message = fails(call_main, tune, wider, '--work-root', finished_stage,
                    *options)
    assert 'wider: its backbone (ResNet) cannot start from' in message
    assert 'conv1.weight is ' in message and 'same backbone' in message
    assert not (finished_stage / 'wider').exists()


def test_file_without_a_backbone(configs, call_main, tmp_path):
    (_, finetune, _), options = configs
    torch.save(dict(state_dict={'head.weight': torch.ones(1)}),
               tmp_path / 'head.pth')
    message = fails(call_main, finetune, '--work-root', tmp_path / 'x',
                    '--start-from', tmp_path / 'head.pth', *options)
    assert 'head.pth holds no weights of a backbone' in message


def test_stage_that_was_started_from_something_else(
        configs, finished_stage, call_main, tmp_path):
    (tune, *_), options = configs
    other = tmp_path / 'other.pth'
    shutil.copy(finished_stage / 'tune/iter_2.pth', other)
    message = fails(call_main, tune, '--work-root', finished_stage,
                    '--start-from', other, *options)
    assert 'was started from random weights, not from' in message
    assert str(other) in message
    (finished_stage / 'tune/started_from.json').unlink()
    assert 'no record of a chain' in fails(
        call_main, tune, '--work-root', finished_stage, *options)


def test_names_of_stages(configs, call_main, tmp_path):
    (tune, *_), options = configs
    assert 'tune stands twice in the chain' in fails(
        call_main, tune, tune, '--work-root', tmp_path, *options)
    assert 'no such config: nowhere.py' in fails(
        call_main, 'nowhere.py', '--work-root', tmp_path, *options)


def test_new_layers_start_afresh(configs, finished_stage, in_process,
                                 tmp_path, capsys, call_main):
    """A deeper backbone takes over what the stage before had."""
    (tune, finetune, _), _ = configs
    deeper = tmp_path / 'deeper.py'
    deeper.write_text(finetune.read_text() + """
train_dataloader = dict(dataset=dict(datasets=[]))
model = dict(backbone=dict(num_stages=3, strides=(1, 2, 2),
                           dilations=(1, 1, 1)))
""")
    message = fails(call_main, tune, deeper, '--work-root', finished_stage)
    assert 'deeper: the training failed' in message  # it has no data
    output = capsys.readouterr().out
    assert 'layer3.0.conv1.weight' in output and 'start afresh' in output
