"""Each exhibit of the bug museum, measured: broken in the way described, and whole once it is fixed."""

import math

import pytest

from kdkit.course import bugs
from tests.test_museum import functions


def symptoms(name):
    return [getattr(bugs, name)(function) for function in functions(name)]


def test_the_quiet_teacher_pulls_less_by_the_number_of_classes():
    broken, fixed = symptoms("quiet_teacher")
    ratios = [b / a for a, b in zip(broken, fixed, strict=True)]
    assert ratios == pytest.approx(bugs.CLASS_COUNTS)
    assert broken[2] < 0.05 and min(fixed) > 1  # a hundred classes: cannot be heard


def test_at_a_label_weight_of_zero_the_gradient_falls_by_t_squared():
    broken, fixed = symptoms("cliff")
    assert broken[1] / broken[0] == pytest.approx(16, rel=0.01)
    assert fixed[0] == pytest.approx(fixed[1], rel=0.01) and fixed[1:] == pytest.approx(broken[1:])


def test_the_teacher_sinks_although_nobody_trains_it():
    broken, fixed = symptoms("sinking_teacher")
    assert broken[0] > 0.95 and max(broken[1:]) < 0.5
    assert set(fixed) == {broken[0]}


def test_kept_logits_are_no_better_than_chance():
    broken, fixed = symptoms("coin_tosser")
    assert broken < 0.2 and fixed > 0.95


def test_a_copy_of_the_teacher_does_not_read_zero():
    broken, fixed = symptoms("never_zero")
    assert broken > 0.3 and abs(fixed) < 1e-6


def test_the_student_is_never_sure():
    (accuracy, confidence), (fixed_accuracy, fixed_confidence) = symptoms("pale_targets")
    assert confidence < 0.3 and fixed_confidence > 0.7 and fixed_accuracy > accuracy


def test_the_small_network_does_not_move():
    broken, fixed = symptoms("frozen_student")
    assert len(set(broken)) == 1 and broken[0] < 0.2 and fixed[-1] > 0.5


def test_the_kl_of_the_teacher_to_itself_is_not_zero():
    broken, fixed = symptoms("restless_kl")
    assert broken[-1] > 0.5 and min(broken) == broken[-1]
    assert fixed[-1] == pytest.approx(0, abs=1e-6)
    assert [b - m for b, m in zip(broken, fixed, strict=True)] == pytest.approx([broken[-1]] * len(broken), abs=1e-5)


def test_the_best_of_many_epochs_on_the_test_set_is_too_good():
    broken, fixed = symptoms("too_good")
    assert broken > 0.01 and abs(fixed) < 0.01


def test_a_finite_loss_has_a_gradient_that_is_not():
    broken, fixed = symptoms("healthy_loss")
    assert all(math.isfinite(loss) for _, loss, _ in broken) and math.isnan(broken[-1][2])
    assert all(math.isfinite(length) for _, _, length in fixed)
    assert [row[:2] for row in broken] == [pytest.approx(row[:2], rel=1e-5) for row in fixed]


def test_a_good_teacher_is_asked_about_images_that_it_cannot_read():
    (asked, learnt), (fixed_asked, fixed_learnt) = symptoms("short_sighted")
    assert asked < 0.7 and fixed_asked > 0.95 and learnt + 0.15 < fixed_learnt
