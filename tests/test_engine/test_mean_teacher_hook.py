import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner, load_state_dict
from mmseg.registry import MODELS


class Recorder(Hook):
    """Keep the weights at the start and after each iteration."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.students, self.teachers, self.steps = [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if not self.students:
            self._record(runner)

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        self._record(runner)

    def _record(self, runner) -> None:
        model = runner.model
        self.students.append(copy.deepcopy(model.student.state_dict()))
        self.teachers.append(copy.deepcopy(model.teacher.module.state_dict()))
        self.steps.append(int(model.teacher.steps))


@pytest.fixture
def train_teacher(make_cfg, tiny_segmentor):
    """Run a mean teacher; returns what the recorder kept."""

    def run(max_iters=6, momentum=0.01, norm_statistics='student',
            **options) -> Recorder:
        model = dict(
            type='MeanTeacher', segmentor=tiny_segmentor('fcn_r18-d16'),
            mixing='classmix', strong_threshold=0.5, momentum=momentum,
            norm_statistics=norm_statistics)
        runner = Runner.from_cfg(make_cfg(model, max_iters, **options))
        recorder = Recorder()
        runner.register_hook(recorder)
        runner.train()
        return recorder

    return run


def assert_equal(state: dict, expected: dict, keys=None) -> None:
    for key in keys or expected:
        assert torch.equal(state[key], expected[key]), key


def is_statistic(key: str) -> bool:
    return 'running_' in key or 'num_batches' in key


def expected_teacher(students: list[dict], momentum: float) -> dict:
    """The average of a sequence of students, in float64."""
    average = {k: torch.zeros_like(v, dtype=torch.double)
               for k, v in students[0].items()}
    for step, student in enumerate(students):
        weight = max(momentum, 1 / (step + 1))
        for key, value in student.items():
            average[key] += weight * (value - average[key])
    return average


@pytest.mark.parametrize('momentum', [0.01, 0.5])
def test_teacher_is_the_average_of_the_students(train_teacher, momentum):
    recorder = train_teacher(momentum=momentum)
    assert recorder.steps == [0, 1, 2, 3, 4, 5, 6]
    expected = expected_teacher(recorder.students[1:], momentum)
    for key, value in recorder.teachers[-1].items():
        if is_statistic(key):
            assert torch.equal(value, recorder.students[-1][key]), key
        else:
            torch.testing.assert_close(
                value.double(), expected[key], rtol=1e-5, atol=1e-6)
    # it is not simply the student
    weight = 'backbone.conv1.weight'
    assert not torch.allclose(
        recorder.teachers[-1][weight], recorder.students[-1][weight])


def test_teacher_starts_as_the_student(train_teacher):
    recorder = train_teacher(max_iters=1)
    assert_equal(recorder.teachers[0], recorder.students[0])
    # and its first update copies the student once more
    assert_equal(recorder.teachers[1], recorder.students[1])
    weight = 'backbone.conv1.weight'
    assert not torch.equal(
        recorder.students[0][weight], recorder.students[1][weight])


def test_own_statistics_are_not_the_students(train_teacher):
    recorder = train_teacher(norm_statistics='own')
    mean = 'backbone.bn1.running_mean'
    student, teacher = recorder.students[-1], recorder.teachers[-1]
    assert not torch.allclose(teacher[mean], student[mean])
    assert not torch.allclose(teacher[mean], torch.zeros_like(teacher[mean]))
    # the teacher sees unlabelled batches, the student those and labelled ones
    batches = 'backbone.bn1.num_batches_tracked'
    assert (teacher[batches], student[batches]) == (6, 12)
    expected = expected_teacher(recorder.students[1:], 0.01)
    weight = 'backbone.conv1.weight'
    torch.testing.assert_close(
        teacher[weight].double(), expected[weight], rtol=1e-5, atol=1e-6)


def test_update_follows_the_optimiser_when_gradients_accumulate(
        train_teacher):
    recorder = train_teacher(
        max_iters=5, optim_wrapper=dict(accumulative_counts=2))
    # the optimiser steps after iterations 2, 4 and, as the last one, 5
    assert recorder.steps == [0, 0, 1, 1, 2, 3]
    students = [recorder.students[i] for i in (2, 4, 5)]
    expected = expected_teacher(students, 0.01)
    for key, value in recorder.teachers[-1].items():
        if not is_statistic(key):
            torch.testing.assert_close(
                value.double(), expected[key], rtol=1e-5, atol=1e-6)


def test_both_start_from_a_loaded_checkpoint(
        train_teacher, tiny_segmentor, tmp_path):
    plain = MODELS.build(tiny_segmentor('fcn_r18-d16'))
    path = tmp_path / 'plain.pth'
    torch.save(dict(state_dict=plain.state_dict()), path)
    recorder = train_teacher(max_iters=1, load_from=str(path))
    assert_equal(recorder.students[0], plain.state_dict())
    assert_equal(recorder.teachers[0], plain.state_dict())


def test_a_teacher_that_was_loaded_gives_way_to_the_student(
        train_teacher, make_cfg, tiny_segmentor, tmp_path):
    """Documented: without --resume a run starts from its student."""
    model = MODELS.build(dict(
        type='MeanTeacher', segmentor=tiny_segmentor('fcn_r18-d16')))
    load_state_dict(model.teacher, {
        k: v + 1 for k, v in model.teacher.state_dict().items()})
    path = tmp_path / 'both.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    recorder = train_teacher(max_iters=1, load_from=str(path))
    assert_equal(recorder.teachers[0], model.student.state_dict())
    assert recorder.steps[0] == 0


def test_resuming_keeps_the_teacher(train_teacher):
    checkpoint = dict(checkpoint=dict(interval=3))
    first = train_teacher(max_iters=3, default_hooks=checkpoint)
    resumed = train_teacher(max_iters=5, resume=True)
    assert resumed.steps == [3, 4, 5]
    assert_equal(resumed.students[0], first.students[-1])
    assert_equal(resumed.teachers[0], first.teachers[-1])
    weight = 'backbone.conv1.weight'
    assert not torch.equal(
        resumed.teachers[0][weight], resumed.students[0][weight])
    expected = expected_teacher(
        first.students[1:] + resumed.students[1:], 0.01)
    torch.testing.assert_close(
        resumed.teachers[-1][weight].double(), expected[weight],
        rtol=1e-5, atol=1e-6)
