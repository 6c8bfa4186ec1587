import hashlib
import json
import math
from pathlib import Path

import pytest

from mmseg_ssl.visualization.run_log import (
    RunRecord,
    file_hash,
    ranking_key,
    read_curves,
    read_run,
)

TABLE = """\
11/21 03:17:56 - mmengine - INFO - per class results:
11/21 03:17:56 - mmengine - INFO -
+----------+-------+-------+
|  Class   |  IoU  |  Acc  |
+----------+-------+-------+
|   sky    | {0} |  99.0 |
| big road | {1} | 97.1 |
|   bird   |  nan  |  nan  |
+----------+-------+-------+
"""


def write_session(work_dir: Path, time: str, lines: list[dict],
                  log: str = '') -> None:
    folder = work_dir / time / 'vis_data'
    folder.mkdir(parents=True)
    folder.joinpath('scalars.json').write_text(
        ''.join(json.dumps(line) + '\n' for line in lines))
    folder.parent.joinpath(f'{time}.log').write_text(log)


def train_line(step: int, loss: float, **more: float) -> dict:
    return dict(loss=loss, time=0.5, iter=step, step=step, **more)


def val_line(step: int, **metrics: float) -> dict:
    return dict(**metrics, data_time=0.01, time=0.1, step=step)


@pytest.fixture
def work_dir(tmp_path):
    (tmp_path / 'my_config.py').write_text('randomness = dict(seed=3)\n')
    return tmp_path


def test_a_run_of_one_session(work_dir):
    write_session(work_dir, '20260101_000000', [
        train_line(1, 2.0, memory=900.0),
        train_line(2, 1.0, memory=950.0) | dict(time=9.0),
        val_line(2, aAcc=70.0, mIoU=40.0),
        train_line(3, 0.5),
        train_line(4, 0.25),
        val_line(4, aAcc=60.0, mIoU=35.0),
    ], TABLE.format('10.00', '20.00') + TABLE.format('30.00', '40.00'))
    run = read_run('mine', work_dir)
    assert run.name == 'mine' and run.config_path.stem == 'my_config'
    assert run.train['loss'].steps == [1, 2, 3, 4]
    assert run.train['loss'].values == [2.0, 1.0, 0.5, 0.25]
    assert run.score.last == 35.0
    assert run.score.best == (40.0, 2)
    assert (run.iterations, run.seed) == (4, 3)
    assert run.seconds_per_iteration == 0.5  # the pause at 2 does not count
    assert run.peak_memory == 950.0
    assert math.isnan(run.class_iou.pop('bird'))  # absent in the images
    assert run.class_iou == {'sky': 30.0, 'big road': 40.0}


def test_a_resumed_run_continues_the_curves(work_dir):
    """The first session went to 4, its last checkpoint was that of 2."""
    write_session(work_dir, '20260101_000000', [
        train_line(1, 9.0), train_line(2, 8.0), val_line(2, mIoU=10.0),
        train_line(3, -1.0), train_line(4, -1.0), val_line(4, mIoU=-1.0)])
    write_session(work_dir, '20260102_000000', [
        train_line(3, 7.0), train_line(4, 6.0), val_line(4, mIoU=20.0)])
    run = read_run('mine', work_dir)
    assert run.train['loss'].values == [9.0, 8.0, 7.0, 6.0]
    assert run.score.values == [10.0, 20.0]


def test_a_run_that_was_started_anew(work_dir):
    write_session(work_dir, '20260101_000000', [
        train_line(step, -1.0) for step in range(1, 9)])
    write_session(work_dir, '20260102_000000', [
        train_line(1, 5.0), val_line(1, mIoU=20.0)])
    run = read_run('mine', work_dir)
    assert run.train['loss'].values == [5.0]
    assert run.iterations == 1


def test_teacher_and_student(work_dir):
    validation = val_line(1, **{'teacher/mIoU': 50.0, 'student/mIoU': 45.0})
    write_session(
        work_dir, '20260101_000000', [train_line(1, 1.0), validation],
        TABLE.format('60.00', '40.00') + TABLE.format('50.00', '40.00'))
    run = read_run('mine', work_dir)
    assert run.metric == 'teacher/mIoU' and run.score.last == 50.0
    assert run.class_iou['sky'] == 60.0


@pytest.mark.parametrize('predicts, sky', [('teacher', 60.0),
                                           ('student', 50.0)])
def test_the_network_that_predicts_is_named_plainly(work_dir, predicts, sky):
    validation = val_line(1, **{'teacher/mIoU': 50.0, 'student/mIoU': 45.0})
    validation['mIoU'] = validation[f'{predicts}/mIoU']
    write_session(
        work_dir, '20260101_000000', [train_line(1, 1.0), validation],
        TABLE.format('60.00', '40.00') + TABLE.format('50.00', '40.00'))
    run = read_run('mine', work_dir)
    assert run.metric == 'mIoU'
    assert run.score.last == validation[f'{predicts}/mIoU']
    assert run.class_iou['sky'] == sky


@pytest.mark.parametrize('keys, best', [
    (['aAcc', 'student/mIoU', 'mIoU'], 'mIoU'),
    (['mAcc', 'teacher/mIoU', 'student/mIoU'], 'teacher/mIoU'),
    (['nn_mAcc', 'nn_acc', 'time'], 'nn_acc'),
    (['movable_acc', 'acc'], 'movable_acc'),
    (['time', 'purity', 'other'], 'purity')])
def test_ranking_key(keys, best):
    assert ranking_key(keys) == best


def test_a_run_that_is_never_validated(work_dir):
    write_session(work_dir, '20260101_000000', [
        train_line(1, 2.0), train_line(2, 0.5), train_line(3, 1.0)])
    run = read_run('mine', work_dir)
    assert (run.metric, run.score.last, run.best) == ('loss', 1.0, (0.5, 2))
    record = RunRecord.from_json('mine', run.to_json())
    assert (record.val, record.metric, record.log_hash) == (
        {}, 'loss', run.log_hash)


def test_what_hooks_log_is_no_validation(work_dir):
    write_session(work_dir, '20260101_000000', [
        train_line(1, 2.0), val_line(1, mIoU=60.0),
        {'class_similarity/features': 0.5, 'step': 1}])
    write_session(work_dir, '20260102_000000', [
        dict(mIoU=61.0, step=2)])  # of a runner without a timer
    train, val = read_curves(work_dir)
    assert val['mIoU'].values == [60.0, 61.0]
    assert train['class_similarity/features'].values == [0.5]
    assert set(val) == {'mIoU', 'time', 'data_time'}


def test_parts_of_the_classes_have_no_tables(work_dir):
    metrics = {'mIoU': 50.0, 'things/mIoU': 40.0, 'stuff/mIoU': 60.0}
    write_session(
        work_dir, '20260101_000000',
        [val_line(1, **metrics), val_line(2, **metrics)],
        TABLE.format('10.00', '20.00') + TABLE.format('60.00', '40.00'))
    assert read_run('mine', work_dir).class_iou['sky'] == 60.0


def test_the_numbers_decide_the_hash(work_dir):
    lines = [train_line(1, 1.0), val_line(1, mIoU=1.0)]
    write_session(work_dir, '20260101_000000', lines, 'some log')
    first = read_run('a', work_dir)
    assert len(first.log_hash) == 8
    assert first.log_hash == read_run('b', work_dir).log_hash
    write_session(work_dir, '20260101_000001', [val_line(2, mIoU=1.1)])
    assert first.log_hash != read_run('a', work_dir).log_hash


def test_a_record_gives_the_run_back(work_dir):
    write_session(
        work_dir, '20260101_000000', [
            train_line(1, 1 / 3, memory=900.0),
            val_line(1, mIoU=40.123456789)
        ], TABLE.format('60.00', '40.00'))
    run = read_run('mine', work_dir)
    text = run.to_json()
    record = RunRecord.from_json('mine', text)
    assert record.to_json() == text
    assert record.log_hash == run.log_hash
    assert hashlib.sha256(text.encode()).hexdigest().startswith(run.log_hash)
    assert record.seed == 3
    assert record.score.best == (40.1235, 1)
    assert record.train['loss'].values == [0.333333]
    assert record.class_iou['sky'] == 60.0


def test_no_memory_and_no_time(work_dir):
    write_session(work_dir, '20260101_000000', [val_line(1, mIoU=1.0)])
    run = read_run('mine', work_dir)
    assert run.peak_memory is None and run.seconds_per_iteration is None
    assert run.class_iou == {}


def test_moved_checkpoint(work_dir):
    write_session(work_dir, '20260101_000000', [val_line(1, mIoU=1.0)])
    run = read_run('mine', work_dir)
    with pytest.raises(FileNotFoundError, match='holds no checkpoint'):
        _ = run.checkpoint
    (work_dir / 'last_checkpoint').write_text('/where/it/was/iter_1.pth\n')
    assert run.checkpoint == work_dir / 'iter_1.pth'


def test_a_test_in_a_folder_of_its_own(work_dir):
    for time, miou in (('20260101_000000', 20.0), ('20260102_000000', 30.0)):
        (work_dir / time).mkdir()
        (work_dir / time / f'{time}.json').write_text(json.dumps(
            {'aAcc': 50.0, 'mIoU': miou, 'things/mIoU': 10.0, 'time': 0.1,
             'table': [1]}))
    log = work_dir / '20260102_000000' / '20260102_000000.log'
    log.write_text(TABLE.format('30.00', '40.00'))
    run = read_run('crf', work_dir)
    assert run.metric == 'mIoU' and run.score.last == 30.0
    assert run.val['things/mIoU'].last == 10.0 and 'table' not in run.val
    assert run.class_iou['sky'] == 30.0 and run.iterations == 0
    # a training in the same folder is what counts
    write_session(work_dir, '20260103_000000', [
        train_line(1, 2.0), val_line(1, mIoU=40.0)])
    assert read_run('trained', work_dir).score.last == 40.0


def test_folder_without_a_training(tmp_path):
    with pytest.raises(FileNotFoundError, match='not the work directory'):
        read_run('mine', tmp_path)


def test_training_that_is_to_be_validated(work_dir):
    (work_dir / 'my_config.py').write_text("val_cfg = dict(type='ValLoop')")
    write_session(work_dir, '20260101_000000', [train_line(1, 1.0)])
    with pytest.raises(FileNotFoundError, match='no validation'):
        read_run('mine', work_dir)


def test_ranking_of_other_tasks(work_dir):
    write_session(work_dir, '20260101_000000', [
        train_line(1, 1.0, movable_acc=3.0), val_line(1, movable_acc=20.0)])
    run = read_run('mine', work_dir)
    assert run.metric == 'movable_acc' and run.score.values == [20.0]
    assert run.train['movable_acc'].values == [3.0]
    assert run.best == (20.0, 1) and run.class_iou == {}
    with pytest.raises(ValueError, match='no mIoU among'):
        _ = run.miou
    record = RunRecord.from_json('mine', run.to_json())
    assert (record.best, record.metric_name) == ((20.0, 1), 'movable_acc')


@pytest.mark.parametrize('log, device', [
    ('    CUDA available: False\n    GPU number: 1\n', 'CPU'),
    ('    CUDA available: True\n    GPU 0,1: NVIDIA H200\n'
     '    GPU number: 2\n', '2x NVIDIA H200'),
    ('    CUDA available: True\n', None),
    ('', None),
])
def test_device_is_read_from_the_log(work_dir, log, device):
    write_session(
        work_dir, '20260101_000000', [val_line(1, mIoU=1.0)], log)
    run = read_run('mine', work_dir)
    assert (run.device, run.config_name) == (device, 'my_config')
    record = RunRecord.from_json('mine', run.to_json())
    assert (record.device, record.config_name) == (device, 'my_config')


def test_record_of_an_earlier_version_keeps_its_hash():
    text = '{"seed":0,"class_iou":{},"train":{},"val":{"mIoU":[[1],[2.0]]}}\n'
    record = RunRecord.from_json('old', text)
    assert record.to_json() == text and record.device is None


def test_file_hash(tmp_path):
    path = tmp_path / 'x.pth'
    path.write_bytes(bytes(3 << 20))
    assert file_hash(path) == hashlib.sha256(bytes(3 << 20)).hexdigest()[:8]
