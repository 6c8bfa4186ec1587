import copy

import pytest
import torch
from mmengine.model import MomentumAnnealingEMA
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_ssl.methods.mean_teacher import TeacherEMA


def make_student() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5),
        nn.Conv2d(4, 2, 1))


def move(student: nn.Module) -> None:
    """Change parameters and running statistics, as a training step does."""
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter))
    student.train()(torch.randn(4, 3, 8, 8) + 5)


def test_weights_follow_the_closed_form_of_the_warm_up():
    student = make_student()
    teacher = TeacherEMA(student, momentum=0.01)
    expected = torch.zeros_like(student[0].weight, dtype=torch.double)
    for step in range(320):
        move(student)
        teacher.update_parameters(student)
        alpha = min(1 - 1 / (step + 1), 0.99)
        expected = alpha * expected + (1 - alpha) * student[0].weight.double()
        torch.testing.assert_close(
            teacher.module[0].weight.double(), expected, rtol=1e-5, atol=1e-5)
    assert teacher.steps == 320


def test_weights_equal_those_of_mmengines_average():
    student = make_student()
    teacher = TeacherEMA(student, momentum=0.01, norm_statistics='student')
    reference = MomentumAnnealingEMA(student, momentum=0.01, gamma=1)
    for _ in range(320):
        move(student)
        teacher.update_parameters(student)
        reference.update_parameters(student)
    for (name, value), expected in zip(teacher.state_dict().items(),
                                       reference.state_dict().values()):
        torch.testing.assert_close(value, expected, msg=name)


@pytest.mark.parametrize('norm_statistics', ['student', 'own'])
def test_first_update_copies_the_student(norm_statistics):
    student = make_student()
    teacher = TeacherEMA(student, norm_statistics=norm_statistics)
    move(student)
    teacher.update_parameters(student)
    for (name, value), expected in zip(teacher.module.state_dict().items(),
                                       student.state_dict().values()):
        is_statistic = 'running' in name or 'tracked' in name
        copied = norm_statistics == 'student' or not is_statistic
        assert torch.equal(value, expected) == copied, name


class RefuseFloat64(TorchDispatchMode):
    """As devices do that have no such numbers."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        assert getattr(result, 'dtype', None) != torch.float64, func
        return result


def test_update_needs_no_float64():
    student = make_student()
    teacher = TeacherEMA(student)
    with RefuseFloat64():
        for _ in range(3):
            move(student)
            teacher.update_parameters(student)
    assert teacher.steps == 3


def test_teacher_needs_no_gradient_and_updates_in_place():
    student = make_student()
    teacher = TeacherEMA(student)
    weight = teacher.module[0].weight
    move(student)
    teacher.update_parameters(student)
    assert teacher.module[0].weight is weight
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())


def test_update_works_after_the_storage_was_renewed():
    student = make_student()
    teacher = TeacherEMA(student)
    student.double()
    teacher.double()
    move(student.double().float())
    teacher.float()
    teacher.update_parameters(student)
    assert torch.equal(teacher.module[0].weight, student[0].weight)


def test_statistics_of_the_student_are_copied():
    student = make_student()
    teacher = TeacherEMA(student, norm_statistics='student').train()
    for _ in range(5):
        move(student)
        teacher.update_parameters(student)
        teacher.module(torch.randn(4, 3, 8, 8) - 100)  # leaves no trace
        norm = teacher.module[1]
        assert torch.equal(norm.running_mean, student[1].running_mean)
        assert torch.equal(norm.running_var, student[1].running_var)
        assert norm.num_batches_tracked == student[1].num_batches_tracked
    assert norm.running_mean.abs().max() > 0.1
    assert (norm.running_var - 1).abs().max() > 0.1


def test_own_statistics_come_from_the_images_of_the_teacher():
    student = make_student()
    teacher = TeacherEMA(student, norm_statistics='own').train()
    reference = copy.deepcopy(student[1])
    for _ in range(5):
        move(student)
        teacher.update_parameters(student)
        images = torch.randn(4, 3, 8, 8) - 3
        hidden = teacher.module[0](images)
        assert torch.equal(  # normalised by the batch, not by the average
            teacher.module[1](hidden),
            torch.nn.functional.batch_norm(
                hidden, None, None, teacher.module[1].weight,
                teacher.module[1].bias, training=True))
        reference(hidden)
    norm = teacher.module[1]
    torch.testing.assert_close(norm.running_mean, reference.running_mean)
    torch.testing.assert_close(norm.running_var, reference.running_var)
    assert not torch.allclose(norm.running_mean, student[1].running_mean)


@pytest.mark.parametrize('norm_statistics', ['student', 'own'])
def test_modes(norm_statistics):
    student = make_student()
    parent = nn.ModuleDict(dict(
        student=student,
        teacher=TeacherEMA(student, norm_statistics=norm_statistics)))
    teacher = parent['teacher']
    for mode in (True, False, True):
        parent.train(mode)
        assert student.training is mode
        in_training = {
            type(m) for m in teacher.modules() if m.training}
        own = norm_statistics == 'own'
        assert in_training == ({nn.BatchNorm2d} if own and mode else set())


@pytest.mark.parametrize('norm_statistics', ['student', 'own'])
def test_mode_is_right_before_any_call_of_train(norm_statistics):
    teacher = TeacherEMA(make_student(), norm_statistics=norm_statistics)
    expected = [isinstance(m, nn.BatchNorm2d) and norm_statistics == 'own'
                for m in teacher.modules()]
    assert [m.training for m in teacher.modules()] == expected


def test_state_survives_a_checkpoint(tmp_path):
    student = make_student()
    teacher = TeacherEMA(student)
    for _ in range(3):
        move(student)
        teacher.update_parameters(student)
    torch.save(teacher.state_dict(), tmp_path / 'teacher.pth')
    restored = TeacherEMA(make_student())
    restored.load_state_dict(torch.load(tmp_path / 'teacher.pth'))
    assert restored.steps == 3
    move(student)
    teacher.update_parameters(student)
    restored.update_parameters(student)
    for value, expected in zip(restored.state_dict().values(),
                               teacher.state_dict().values()):
        assert torch.equal(value, expected)


def test_synchronize_restarts_the_warm_up():
    student = make_student()
    teacher = TeacherEMA(student)
    for _ in range(3):
        move(student)
        teacher.update_parameters(student)
    move(student)
    teacher.synchronize(student)
    assert teacher.steps == 0
    for value, expected in zip(teacher.module.state_dict().values(),
                               student.state_dict().values()):
        assert torch.equal(value, expected)
        assert value.data_ptr() != expected.data_ptr()


def test_unknown_norm_statistics():
    with pytest.raises(ValueError, match="'own'.*'batch'"):
        TeacherEMA(make_student(), norm_statistics='batch')
