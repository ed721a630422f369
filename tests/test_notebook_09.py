"""What notebook 09 shows of networks that write: its tables say what is true, its titles what the numbers say."""

import pytest
import torch

from kdkit import losses
from kdkit.course import writing
from kdkit.data import sums
from kdkit.measure.intervals import Paired

STUDENT = torch.tensor([[1.0, 0.0, -1.0, 0.5, 2.0]]).double()
TEACHER = torch.tensor([[2.0, -1.0, 1.0, 0.0, 0.0]]).double()


def test_answers_are_marked_by_whether_they_are_right():
    said = writing.write(writing.teacher(), 87, count=20)
    assert len(said) == 20 and all(text.startswith("087=") and text[-1] in "✓✗" for text in said)
    assert [text[-1] == "✓" for text in said] == sums.right(sums.encode(text[:-3] for text in said)).tolist()


def test_a_cold_teacher_writes_one_right_answer_to_each_prompt():
    found = writing.judged(writing.cooled(writing.teacher(), 0.0001))
    assert found["validity"] > 0.99 and found["coverage"] == pytest.approx(197 / 99**2, rel=0.05)
    assert writing.judged(writing.teacher())["coverage"] > 0.95, "the copy alone is cooled"


def test_only_the_detached_difference_and_k2_follow_reverse_kl():
    rows = writing.estimators(STUDENT, TEACHER)
    k1, k2, k3, weighted = rows.values()
    assert k1 == {"length": "0.00", "cosine with reverse": "-", "cosine with forward": "-"}
    assert k2["cosine with reverse"] == weighted["cosine with reverse"] == "1.00" != k3["cosine with reverse"]
    assert k3["cosine with forward"] == "1.00" != weighted["cosine with forward"]


def test_the_bare_sum_prefers_a_student_that_is_too_sure_and_the_tail_does_not():
    copy, sure, lowest = writing.cut(TEACHER, 2).values()
    assert float(copy["bare sum"]) == 0 > float(sure["bare sum"]) == float(lowest["bare sum"])
    mass = TEACHER.softmax(-1).topk(2).values.sum()
    assert float(lowest["bare sum"]) == pytest.approx((mass * mass.log()).item(), abs=1e-3)
    assert float(copy["renormalised"]) == float(sure["renormalised"]) == float(copy["with a tail"]) == 0
    assert float(sure["with a tail"]) > 0.1


def test_gradients_of_the_jensen_shannon_divergence_vanish_at_its_ends():
    rows = writing.pulls(STUDENT, TEACHER, (0.001, 0.5, 0.999))
    first, middle, last = (float(row["length of its gradient"]) for name, row in rows.items() if "JSD" in name)
    assert max(first, last) < 0.01 * float(rows["forward KL"]["length of its gradient"]) and middle > 10 * first
    assert float(rows["reverse KL"]["loss"]) == pytest.approx(losses.reverse_kl(STUDENT, TEACHER).item(), abs=1e-4)


def test_the_end_alone_is_left_out():
    kept, whole = writing.without_end(), writing.texts()
    differ = kept.loss_mask != whole.loss_mask
    assert (whole.input_ids[differ] == sums.END).all() and (differ.sum(1) <= 1).all() and differ.any()


def pair(low, high):
    return Paired((low + high) / 2, low, high, (low, high))


@pytest.mark.parametrize(
    ("found", "title"),
    [
        ({"reverse": pair(-1, 1)}, "No difference in coverage is shown"),
        (
            {"reverse": pair(1, 2), "own, reverse": pair(1, 3), "own, forward": pair(-2, -1), "x": pair(-1, 1)},
            "Coverage: higher in 2 of 4 (reverse KL), lower in 1 (forward KL)",
        ),
        ({"own, forward": pair(-2, -1), "reverse": pair(-3, -1)}, "Coverage: higher in none of 2, lower in 2"),
    ],
)
def test_titles_say_what_the_intervals_show(found, title):
    assert writing.verdict(found, "coverage") == title


def test_titles_say_who_is_ahead():
    found = {"validity": pair(-2, -1), "coverage": pair(-1, 1)}
    assert writing.verdict_by_time(found) == "Own prefixes: ahead of more steps in none of 2, behind in 1"
    assert writing.verdict_on_points([1, 2], [2, 1], ["a", "b"]) == "“b” is most often right, “a” covers most"
    assert writing.verdict_on_points([1, 2], [1, 2], ["a", "b"]) == "“b” is most often right and covers most"
    said = writing.verdict_on_errors({"teacher's": [0.1, 0.2], "own": [0.1, 0.5]})
    assert "0.30 nats on the teacher's" in said and "0.60 on its own" in said


def test_the_choice_that_moves_a_measure_more_is_found():
    means = {"forward": 0.9, "own, forward": 0.8, "reverse": 0.5, "own, reverse": 0.6}
    rows = [{"student": "8x1", "arm": arm, "seed": 0, "lr": 1, "coverage": mean} for arm, mean in means.items()]
    rows += [row | {"seed": 1000, "forward_kl": 0.0, "reverse_kl": 0.0} for row in rows]
    result = {"students": {"8x1": [8, 1]}, "arms": {arm: {"rate_of": arm} for arm in means}, "rows": rows}
    assert writing.moves(result, "coverage") == "divergence"
    assert list(writing.gains_of_all(result, "coverage")) == [f"{arm} (width 8)" for arm in list(writing.FIELDS)[1:]]
