"""Quick trainings, and functions with a line missing."""

import pytest
import torch

from kdkit.course import sandbox


def add_up(values):
    total = 0
    for value in values:
        total += value
    return total


def idle(teacher, student, temperature, inputs, optimizer):
    idle.seen.append((teacher.training, temperature, tuple(inputs.shape)))


def test_instead_takes_a_line_out_of_a_copy():
    assert add_up([1, 2]) == 3
    assert sandbox.instead(add_up, "total += value")([1, 2]) == 0
    assert sandbox.instead(add_up, "total += value", "total = value")([1, 2]) == 2
    assert add_up([1, 2]) == 3


def test_a_copy_can_be_changed_again():
    other = sandbox.instead(add_up, "total += value", "total += 2 * value")
    assert sandbox.instead(other, "return total", "return -total")([1, 2]) == -6


@pytest.mark.parametrize(("line", "times"), [("total", 3), ("no such line", 0)])
def test_a_line_that_is_not_there_once_is_refused(line, times):
    with pytest.raises(ValueError, match=f"it stands there {times} times"):
        sandbox.instead(add_up, line)


def test_the_same_seed_gives_the_same_training_and_another_one_another():
    first, again, other = (
        sandbox.fit(sandbox.soft_and_hard(0.5), epochs=1, seed=seed, watch=lambda student: student(INPUTS).sum())
        for seed in (0, 0, 1)
    )
    assert first == again != other


INPUTS = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_step_gets_the_teacher_fresh_from_training_and_labels_only_if_it_takes_them():
    idle.seen = []
    assert sandbox.fit(idle, epochs=1, watch=lambda student: "watched") == ["watched"]
    assert idle.seen == [(True, 4.0, (40, 3, 32, 32))] * 10
