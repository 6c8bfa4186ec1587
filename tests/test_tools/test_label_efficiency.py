"""Planning, training, resuming and reusing runs over numbers of labels."""
import argparse
import json
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_ssl.engine.progress import config_digest, requested_config
from mmseg_ssl.visualization.run_log import Curve, RunRecord

ROOT = Path(__file__).resolve().parents[2]
TOOL = 'tools/analysis_tools/label_efficiency.py'
LISTS = ROOT / 'configs/_base_/splits/camvid'
CONFIG = """
data_root = 'data'
labeled_list = '{lists}/5-seed0.txt'
randomness = dict(seed=0)
train_cfg = dict(max_iters=10)
"""


@pytest.fixture
def project(tmp_path):
    """Two configs, and lists of two lengths for two seeds."""
    for labels in (5, 10):
        for seed in (0, 1):
            (tmp_path / f'{labels}-seed{seed}.txt').write_text('a\n')
    for name in ('base_net_data-5l', 'ours_net_data-5l'):
        (tmp_path / f'{name}.py').write_text(CONFIG.format(lists=tmp_path))
    return tmp_path


def arguments(project: Path, *more) -> list:
    return [
        '--method', f'Base={project}/base_net_data-5l.py', '--method',
        f'Ours={project}/ours_net_data-5l.py', '--labels', 5, 10, '--seeds', 0,
        1, '--out', project / 'curve', '--work-root', project / 'work', *more]


def leave_run(work_dir: Path, seed: int, miou: float, iterations: int = 10,
              max_iters: int = 10) -> None:
    """What a training leaves in its work directory."""
    logs = work_dir / '20260101_000000/vis_data'
    logs.mkdir(parents=True)
    (work_dir / f'{work_dir.name}.py').write_text(
        f'randomness = dict(seed={seed})\n')
    (logs / 'scalars.json').write_text(
        json.dumps(dict(loss=1.0, step=iterations)) + '\n'
        + json.dumps(dict(mIoU=miou, step=iterations)) + '\n')
    torch.save(dict(
        meta=dict(iter=iterations, epoch=0), state_dict={},
        message_hub=dict(runtime_info=dict(max_iters=max_iters,
                                           max_epochs=1))),
        work_dir / f'iter_{iterations}.pth')
    (work_dir / 'last_checkpoint').write_text(f'iter_{iterations}.pth')


@pytest.fixture
def trainings(monkeypatch):
    """Commands of trainings, which leave what trainings leave."""
    commands = []

    def train(command):
        command = [str(part) for part in command]
        commands.append(command)
        work_dir = Path(command[command.index('--work-dir') + 1])
        if 'broken' in commands[0]:
            return subprocess.CompletedProcess(command, 1)
        seed = int(command[-1].removeprefix('randomness.seed='))
        leave_run(work_dir, seed, 10. * len(commands))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', train)
    return commands


def test_trains_and_reuses(project, trainings, call_main, capsys):
    """Eight runs; none of them again, even without its work directory."""
    call_main(TOOL, *arguments(project, '--cfg-options', 'lr=1',
                               f'data_root={project}'))
    names = [Path(command[4]).name for command in trainings]
    assert names == [
        'base_net_data-5l', 'ours_net_data-5l', 'base_net_data-10l',
        'ours_net_data-10l', 'base_net_data-5l-s1', 'ours_net_data-5l-s1',
        'base_net_data-10l-s1', 'ours_net_data-10l-s1']
    assert '--resume' in trainings[0]
    assert trainings[6][-4:] == [
        'lr=1', f'data_root={project}',
        f'labeled_list={project}/10-seed1.txt', 'randomness.seed=1']
    out = project / 'curve'
    data = json.loads((out / 'label_efficiency.json').read_text())
    assert [point['mean'] for point in data['curves']['Base']] == [30, 50]
    assert (out / 'label_efficiency.png').stat().st_size > 1000
    record = json.loads((out / 'records/base_net_data-5l.json').read_text())
    assert len(record['checkpoint_hash']) == 8

    (project / 'work').rename(project / 'elsewhere')
    capsys.readouterr()
    call_main(TOOL, *arguments(project, '--cfg-options', 'lr=1',
                               'data_root=/moved'))
    assert len(trainings) == 8
    output = capsys.readouterr().out
    assert '[8/8] ours_net_data-10l-s1: finished' in output
    assert '| Base | 5 | 2 | 30.00 | 10.00 | 50.00 |' in output
    with pytest.raises(SystemExit, match=r'curve was .*lr \(1 before, 2 now'):
        call_main(TOOL, *arguments(project, '--cfg-options', 'lr=2'))


def test_a_work_directory_of_other_options(project, trainings, call_main):
    """Begun by train_all.py with another list, say."""
    leave_run(project / 'work/ours_net_data-5l', 0, 11.)
    (project / 'work/ours_net_data-5l/options.json').write_text('["lr=2"]')
    with pytest.raises(SystemExit, match=(
            r'ours_net_data-5l was .*lr \(2 before, 1 now\)')):
        call_main(TOOL, *arguments(project, '--cfg-options', 'lr=1'))
    assert trainings == []
    call_main(TOOL, *arguments(
        project, '--out', project / 'other', '--no-train', '--cfg-options',
        'lr=2', 'train_dataloader.num_workers=0'))


@pytest.mark.parametrize('out', ['curve', 'other'])
def test_another_list_of_the_same_name(project, trainings, call_main, out):
    """Neither its record nor its work directory is taken for the other's."""
    few = '--labels', 5, '--seeds', 1
    call_main(TOOL, *arguments(project, *few))
    (project / '5-seed1.txt').write_text('another\n')
    with pytest.raises(SystemExit, match=(
            r'base_net_data-5l-s1(.json)? is of another list of labelled '
            'images than .*5-seed1.txt now; give another --out and --work-')):
        call_main(TOOL, *arguments(project, *few, '--out', project / out))
    assert len(trainings) == 2
    call_main(TOOL, *arguments(project, *few, '--out', project / 'other',
                               '--work-root', project / 'new'))
    assert len(trainings) == 4


def test_a_config_that_was_changed(project, trainings, call_main):
    few = '--labels', 5, '--seeds', 0
    call_main(TOOL, *arguments(project, *few))
    (project / 'lists').mkdir()
    for path in project.glob('*-seed*.txt'):  # the same lists elsewhere
        path.rename(project / 'lists' / path.name)
    config = project / 'ours_net_data-5l.py'
    config.write_text(
        f'# moved\n{config.read_text()}'.replace("'data'", "'elsewhere'"))
    moved = *few, '--lists', project / 'lists'
    call_main(TOOL, *arguments(project, *moved))
    assert len(trainings) == 2
    config.write_text(f'{config.read_text()}lr = 0.1\n')
    record = project / 'curve/records/ours_net_data-5l.json'
    with pytest.raises(SystemExit, match=(
            f'{record} is of another config than .*ours_net_data-5l.py')):
        call_main(TOOL, *arguments(project, *moved))
    record.unlink()
    work_dir = project / 'work/ours_net_data-5l'
    with pytest.raises(SystemExit, match=(
            f'{work_dir} is of another config than .*, or delete it')):
        call_main(TOOL, *arguments(project, *moved))
    shutil.rmtree(work_dir)
    call_main(TOOL, *arguments(project, *moved))
    assert len(trainings) == 3


def test_own_folders_may_move(tmp_path):
    """Not their lists of images: other images make another result."""
    digests = []
    for name, images in (('a', 'x'), ('b', 'x'), ('c', 'y')):
        folder = tmp_path / name
        folder.mkdir()
        (folder / 'unlabeled.txt').write_text(images)
        (folder / 'labeled.txt').write_text(name)
        (folder / 'config.py').write_text("""
labeled = dict(ann_file='{{ fileDirname }}/labeled.txt')
unlabeled = dict(ann_file='{{ fileDirname }}/unlabeled.txt')
checkpoint = '{{ fileDirname }}/start.pth'
""")
        digests.append(config_digest(Config.fromfile(folder / 'config.py'),
                                     str(folder / 'labeled.txt')))
    assert digests[0] == digests[1] != digests[2]


def test_damaged_note(project, trainings, call_main):
    few = '--labels', 5, '--seeds', 0
    call_main(TOOL, *arguments(project, *few))
    note = project / 'curve/records/ours_net_data-5l.made_of'
    for text in ('{', '{}', '[]'):
        note.write_text(text)
        with pytest.raises(SystemExit, match=f'{note} is damaged; delete it'):
            call_main(TOOL, *arguments(project, *few))


def test_what_is_at_hand(project, trainings, call_main, capsys):
    """Finished runs and saved records; no unfinished or shorter ones."""
    work, records = project / 'work', project / 'records'
    leave_run(work / 'base_net_data-5l', 0, 11.)
    leave_run(work / 'ours_net_data-5l', 0, 99., iterations=5)
    records.mkdir()
    for name, step in (('ours_net_data-10l', 10), ('base_net_data-10l', 4)):
        record = RunRecord(name=name, seed=0, train={}, class_iou={},
                           val={'mIoU': Curve([step], [33.])})
        (records / f'{name}.json').write_text(record.to_json())
    call_main(TOOL, *arguments(project, '--no-train', '--records', records))
    assert trainings == []
    captured = capsys.readouterr()
    assert 'ours_net_data-5l: not finished' in captured.out
    assert 'base_net_data-10l.json is of 4 iterations, not 10' in captured.err
    text = (project / 'curve/label_efficiency.md').read_text()
    assert '| Base | 5 | 1 | 11.00 |' in text
    assert '| Ours | 10 | 1 | 33.00 |' in text and '99.00' not in text
    assert 'Not measured yet: Base, 10 labels; Ours, 5 labels.' in text


def test_a_failure_does_not_stop_the_others(project, trainings, call_main):
    trainings.append(['broken'])
    leave_run(project / 'work/base_net_data-5l', 0, 11.)
    with pytest.raises(SystemExit, match='failed: ours_net_data-5l, base_net'):
        call_main(TOOL, *arguments(project))
    assert len(trainings) == 1 + 7
    assert (project / 'curve/label_efficiency.png').exists()


def test_nothing_at_hand(project, call_main):
    with pytest.raises(SystemExit, match='no finished training to draw'):
        call_main(TOOL, *arguments(project, '--no-train'))


def test_folders_that_cannot_be_written_to(project, call_main):
    for out in (project / '5-seed0.txt', '/proc/x'):
        with pytest.raises(SystemExit, match=(
                f'^label_efficiency.py: cannot write to the folder {out}: ')):
            call_main(TOOL, *arguments(project, '--out', out))


def test_lists_that_are_missing(project, call_main):
    (project / '10-seed1.txt').unlink()
    with pytest.raises(SystemExit, match=(
            r'10-seed1\.txt does not exist; make it, by hand or by '
            r'.*make_label_lists.py, or choose --labels and --seeds by what '
            r'is there: 5-seed0.txt, 5-seed1.txt, 10-seed0.txt$')):
        call_main(TOOL, *arguments(project))
    with pytest.raises(SystemExit, match=(
            'nowhere/5-seed0.txt does not .*that has such lists by --lists')):
        call_main(TOOL, *arguments(project, '--lists', project / 'nowhere'))


def test_config_without_a_list(project, call_main):
    (project / 'ours_net_data-5l.py').write_text('a = 1\n')
    with pytest.raises(SystemExit, match='has no top-level labeled_list'):
        call_main(TOOL, *arguments(project))


def test_methods_that_are_none(project, call_main, capsys):
    with pytest.raises(SystemExit):
        call_main(TOOL, '--method', 'Ours', '--labels', 5, '--out', project)
    assert 'not of the form NAME=CONFIG' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='config nowhere.py does not exist'):
        call_main(TOOL, '--method', 'Ours=nowhere.py', '--labels', 5, '--out',
                  project)


def test_names_that_are_not_unique(project, call_main):
    for method in ('Ours', 'Third'):
        config = project / 'ours_net_data-5l.py'
        with pytest.raises(SystemExit, match='stands twice in the plan'):
            call_main(TOOL, *arguments(
                project, '--method', f'{method}={config}'))


@pytest.mark.parametrize('stem, name', [
    ('reco_net_camvid-20l', 'reco_net_camvid-50l-s2'),
    ('reco_net_camvid-20l-s1', 'reco_net_camvid-50l-s2'),
    ('reco_net_camvid-20l-bank', 'reco_net_camvid-50l-bank-s2'),
    ('reco_net_mine', 'reco_net_mine-50l-s2')])
def test_names_of_runs(stem, name):
    run_name = runpy.run_path(str(ROOT / TOOL))['run_name']
    assert run_name(stem, 50, 2) == name
    assert run_name(stem, 50, 0) == name.removesuffix('-s2')


def test_shipped_configs_are_what_is_planned():
    """The configs with 50 and 150 labels are the runs of the curve."""
    tool = runpy.run_path(str(ROOT / TOOL))
    configs = sorted((ROOT / 'configs').glob(
        '*/*_mbv2-d16-deeplabv3plus_1xb*-4k_camvid-120x160-20l.py'))
    args = argparse.Namespace(
        method=[(path.parent.name, path) for path in configs
                if path.stem.split('_')[0] in (
                    'supervised', 'mean-teacher-classmix', 'reco-classmix')],
        labels=[50, 150], seeds=[0], lists=None, cfg_options=[])
    plan = tool['plan_runs'](args)
    assert len(plan) == 6
    for run in plan:
        shipped = Config.fromfile(run.config.with_name(f'{run.name}.py'))
        planned = requested_config(run.config, run.options)
        for cfg in (shipped, planned):
            labeled = cfg.train_dataloader.dataset
            labeled = labeled.get('labeled', labeled)
            for key in ('labeled_list', 'ann_file'):
                node = cfg if key in cfg else labeled
                node[key] = str(Path(node[key]).resolve())
            assert Path(labeled.ann_file) == (
                LISTS / f'{run.labels}-seed0.txt')
            # only bases of configs that inherit read it
            cfg.pop('labeled_dataset')
        assert shipped.to_dict() == planned.to_dict()
