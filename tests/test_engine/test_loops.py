import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner


@pytest.fixture
def make_runner(make_cfg, tiny_segmentor):

    def make(predict_on='teacher', **options) -> Runner:
        model = dict(
            type='MeanTeacher', segmentor=tiny_segmentor('fcn_r18-d16'),
            test_cfg=dict(predict_on=predict_on))
        return Runner.from_cfg(make_cfg(model, **options))

    return make


# A checkpoint hook that compares checkpoints wants a training around it.
VALIDATE = dict(
    val_cfg=dict(type='TeacherStudentValLoop'),
    default_hooks=dict(checkpoint=dict(save_best=None)))


def metrics_of(runner: Runner, predict_on: str) -> dict:
    """What mmengine's own loop measures for one of the networks."""
    runner.model.test_cfg['predict_on'] = predict_on
    return runner.val()


@pytest.mark.parametrize('predict_on', ['teacher', 'student'])
def test_both_networks_are_measured(make_runner, predict_on):
    both = make_runner(predict_on, **VALIDATE)
    for parameter in both.model.teacher.parameters():
        parameter.data.normal_()  # another network
    one = make_runner(**VALIDATE | dict(val_cfg=dict(type='ValLoop')))
    one.model.load_state_dict(both.model.state_dict())
    expected = {name: metrics_of(one, name) for name in ('teacher', 'student')}
    assert expected['teacher'] != expected['student']

    metrics = both.val()
    for name, values in expected.items():
        assert {'aAcc', 'mIoU', 'mAcc'} <= set(values)
        for key, value in values.items():
            assert metrics[f'{name}/{key}'] == value
    # under the plain name: the one that will predict
    assert metrics['mIoU'] == expected[predict_on]['mIoU']
    assert both.model.test_cfg['predict_on'] == predict_on


def test_training_validates_both_and_saves_the_best(make_runner, tmp_path):
    runner = make_runner(
        max_iters=4, val_cfg=dict(type='TeacherStudentValLoop'),
        train_cfg=dict(val_interval=2))
    seen = []

    class Recorder(Hook):

        def after_val_epoch(self, runner, metrics=None) -> None:
            seen.append(copy.deepcopy(metrics))

    runner.register_hook(Recorder())
    runner.train()
    assert len(seen) == 2
    assert all({'teacher/mIoU', 'student/mIoU'} <= set(m) for m in seen)
    assert list((tmp_path / 'run').glob('best_mIoU_iter_*.pth'))
    scalars = next((tmp_path / 'run').rglob('scalars.json')).read_text()
    assert 'teacher/mIoU' in scalars and 'student/mIoU' in scalars


def test_the_choice_survives_an_error(make_runner):
    runner = make_runner(**VALIDATE)
    runner.model.predict = None  # not callable
    with pytest.raises(TypeError):
        runner.val()
    assert runner.model.test_cfg['predict_on'] == 'teacher'


def test_networks_are_in_eval_mode(make_runner):
    runner = make_runner(**VALIDATE)
    before = copy.deepcopy(runner.model.state_dict())
    runner.model.train()
    runner.val()
    assert not runner.model.student.training
    for key, value in runner.model.state_dict().items():
        assert torch.equal(value, before[key]), key
