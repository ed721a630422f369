"""A check passes right answers however they are written, and names the misconception behind wrong ones."""

import ast
import functools
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from answers import EXERCISES, check_of
from answers.probabilities import soft

from kdkit.course import check, numbered
from kdkit.course.check import samples, shape
from kdkit.course.check.record import NOTEBOOKS
from kdkit.measure import profiling
from tools.links import ROOT

UNNAMED = (  # what a check says where it knows no mistake, or nothing was answered that could be one
    "^your code stopped|^your function gives|^your answer has shape|^hand in|^a dict |^a pair |^no students of shape|"
    "the largest difference to the right|the right answer times|weights differ|a loss is one number|more than 0.85|"
    "points better$|diagnoses are right|still to be filled in|^each entry is|is to be one of|you claim "
)
NOT_NUMBERS = ("soft_targets", "kd_step", "student_in_budget", "diagnosis", "memo")
SHAPES = ["{}x{}".format(*known) for known in shape.accuracies()]
NUMBERS = [name for name in EXERCISES if name not in NOT_NUMBERS and not hasattr(check.bugs, name)]


def test_an_untouched_stub_is_not_attempted_yet():
    verdict = check.soft_targets(lambda z, t: ...)
    assert verdict.passed is None and "not attempted yet" in repr(verdict)


def test_inputs_are_new_each_time():
    seen = []
    for _ in range(2):
        check.soft_targets(lambda z, t: seen.append(z) or (z / t).softmax(1))
    assert not torch.equal(seen[0], seen[samples.ROUNDS])


def test_a_check_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    check.soft_targets(soft)
    assert torch.equal(torch.get_rng_state(), before)


# -------------------------------------------------------------------------------------- all other exercises
# See tests/answers: right answers in several ways, and wrong ones as readers write them, each with the words that must
# name the mistake. Right ones on 200 random inputs.


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(samples, "ROUNDS", 200)


@pytest.fixture
def quiet_clock(monkeypatch):
    monkeypatch.setattr(shape, "shares", quiet_machine)


def quiet_machine(**other):
    """Shares of time as a quiet machine with two cores has them: layers count, width is nearly free."""
    shares = {"{}x{}".format(*known): 0.3 + 0.11 * known[1] + 0.002 * known[0] for known in shape.accuracies()}
    spreads = {name: (0.98 * share, share, 1.02 * share) for name, share in shares.items()} | other
    return {tuple(map(int, name.split("x"))): profiling.Spread(values) for name, values in spreads.items()}


@pytest.mark.parametrize(("name", "number"), [(n, k) for n, (right, _) in EXERCISES.items() for k in range(len(right))])
def test_right_answers_pass(name, number, many, quiet_clock):
    verdict = check_of(name)(EXERCISES[name][0][number])
    assert verdict.passed is True, verdict


@pytest.mark.parametrize(
    ("name", "words"), [(name, words) for name, (_, wrong) in EXERCISES.items() for words in wrong]
)
def test_the_message_names_the_mistake(name, words, quiet_clock):
    for _ in range(3):  # with as few inputs as a reader's answer gets: none may slip through
        verdict = check_of(name)(EXERCISES[name][1][words])
        # Where the answer stops, its line is quoted, and these words with it.
        said = verdict.message.replace(f'"{words}"', "")
        assert verdict.passed is False and re.search(words, said), verdict
        assert numbered.named(said) or re.search(UNNAMED, said), f"add it at the end of mistakes.txt: {verdict}"


def test_each_exercise_has_at_least_five_wrong_answers():
    names = [name for names in NOTEBOOKS.values() for name in names]
    assert {name: len(EXERCISES[name][1]) for name in names if len(EXERCISES[name][1]) < 5} == {}


@pytest.mark.parametrize(
    ("other", "answer", "passed", "words"),
    [
        ({"24x6": (0.80, 0.84, 0.95)}, (8, 3), True, "the best that surely keeps the budget is 24x3"),  # 24x6 perhaps
        ({"24x6": (0.80, 0.81, 0.82)}, (8, 3), False, "Within the budget, but another"),
        ({"16x6": (0.80, 0.81, 0.82)}, (8, 3), True, "the best that surely keeps the budget is 24x3"),  # 16x6 never
        ({"16x3": (0.80, 0.84, 0.95)}, (16, 3), True, "my clock cannot tell, and counts it as kept"),
        ({"16x3": (0.86, 0.87, 0.95)}, (16, 3), False, "more than 0.85"),
        ({"4x3": (0.80, 0.87, 0.95)}, (4, 3), False, "my clock cannot tell, but another"),
        (dict.fromkeys(SHAPES, (0.7, 0.8, 1.2)), (24, 9), True, "my clock cannot tell, and of no other shape either"),
    ],
)
def test_where_the_clock_cannot_tell_it_says_so_and_the_reader_is_right(other, answer, passed, words, monkeypatch):
    monkeypatch.setattr(shape, "shares", lambda: quiet_machine(**other))
    verdict = check.student_in_budget(lambda: answer)
    assert verdict.passed is passed and words in verdict.message, verdict
    assert "middle half" in verdict.message


def test_the_reference_keeps_no_budget_whatever_the_clock_says():
    assert "16x6 is the one that is too slow" in check.student_in_budget(lambda: [16, 6]).message


def test_the_shape_in_the_hint_of_the_budget_is_no_answer(quiet_clock):
    notebook = (ROOT / "notebooks" / "05_smaller_is_not_faster.ipynb").read_text(encoding="utf-8")
    [hint] = re.findall(r"mine.*?models\.student\((\d+), (\d+)\)", notebook)
    assert check.student_in_budget(lambda: tuple(map(int, hint))).passed is False


def test_the_clock_of_the_budget_measures_all_shapes_against_the_reference(monkeypatch):
    timed, compare = [], profiling.compare
    monkeypatch.setattr(profiling, "compare", lambda calls, rounds: timed.extend(calls) or compare(calls, rounds))
    shares = shape.shares()
    assert timed[0] == shape.REFERENCE and set(timed) == set(shares) == set(shape.accuracies())
    assert all(0 < spread.median < 100 for spread in shares.values())


@pytest.mark.parametrize("name", NUMBERS)
def test_stubs_count_as_not_attempted_and_other_answers_are_not_explained_away(name):
    assert check_of(name)(lambda *inputs: ...).passed is None
    nonsense = check_of(name)(lambda *inputs: EXERCISES[name][0][0](*inputs) * 1.37)
    assert nonsense.passed is False and "largest difference to the right answer" in nonsense.message


@pytest.mark.parametrize(
    ("yours", "answer", "passed", "message"),
    [
        (..., "stool", None, "no guess yet"),
        ("stool", "stool", True, "you said stool: right"),
        (" Stool", "stool", True, "you said stool: right"),
        ("sofa", "stool", False, "you said sofa: it is stool"),
        ("couch", "stool", False, "'couch', which is none of stool, sofa: try again"),
        (0.5, 0.341, False, "you said 0.5; it is 0.341: 0.159 too high"),
        (0.2, 0.341, False, "0.141 too low"),
        (0.3, 0.341, True, "close enough"),  # to its own digits
        (0.1, 0.077, True, "close enough"),
        (0.10, 0.06, False, "0.04 too high"),  # 0.06 would round to it, but is not like it
        (0, 0.077, False, "0.077 too low"),
        (0.30, 0.249, False, "0.051 too high"),
        (90, 96.04, True, "close enough"),
        (60, 96.04, False, "36 too low"),
        (100, 60, False, "40 too high"),
        (float("inf"), 3, False, "a number is wanted: try again"),
        (0.34, 0.341, True, "close enough"),
        (3, 3, True, "close enough"),
        ("three", 3, False, "a number is wanted: try again"),
        (float("nan"), 3, False, "a number is wanted: try again"),
        ("3", 3, True, "close enough"),
        (torch.tensor(3.0), 3, True, "close enough"),
    ],
)
def test_a_guess_stands_beside_the_answer(yours, answer, passed, message):
    choices = ("stool", "sofa") if isinstance(answer, str) else None
    verdict = check.guess(yours, answer, choices)
    assert verdict.passed is passed and re.search(message, verdict.message), verdict


@pytest.mark.parametrize("answer", [torch.softmax, functools.partial(torch.softmax, dim=1), max])
def test_what_is_no_function_of_the_reader_gets_a_sentence_too(answer):
    assert check.entropy(answer).passed is False


def test_a_function_of_other_arguments_is_refused_with_the_number_that_is_wanted():
    assert "a function of 1 arguments" in check.entropy(lambda: 0).message
    assert "a function of 3 arguments" in check.kd_gradient(lambda s, z: s).message


def test_half_precision_is_right_up_to_rounding():
    def gradient(s, z, t):
        return t * (soft(s, t) - soft(z, t)) / len(s)

    for _ in range(10):
        assert check.kd_gradient(lambda *inputs: gradient(*inputs).half().float()).passed is True
        assert check.kd_gradient(lambda *inputs: gradient(*inputs).bfloat16()).passed is True
        assert check.kd_gradient(lambda *inputs: (1.1 * gradient(*inputs)).bfloat16()).passed is False


def test_a_step_under_autocast_is_right_up_to_rounding_each_time():
    for _ in range(4):
        for answer in EXERCISES["kd_step"][0][-3:]:
            assert re.search("right, up to rounding in b?float16", check_of("kd_step")(answer).message)


def test_the_line_that_failed_is_shown_behind_a_decorator():
    @torch.no_grad()
    def decorated(p):
        return p @ p

    assert "return p @ p" in check.entropy(decorated).message


def test_a_variable_of_the_notebook_in_place_of_an_argument_is_named():
    namespace = {"log_s": torch.zeros(10, 7), "mean": torch.ones(2), "torch": torch}
    exec("def answer(s, z):\n    return -(z.softmax(1) * log_s).sum(1).mean()", namespace)
    assert "`log_s` is not made in your function" in check.soft_cross_entropy(namespace["answer"]).message
    exec("def other(s, z):\n    return 3 * (z.softmax(1) * s).sum(1).mean()", namespace)  # .mean() is no variable
    assert "not made in your function" not in check.soft_cross_entropy(namespace["other"]).message


@pytest.mark.parametrize(
    ("handed_in", "got"),
    [((16, 3), "16 and 3"), (((16, 3),), r"\(16, 3\)"), ((torch.zeros(9, 9),), "Tensor"), ((), "nothing")],
)
def test_numbers_in_place_of_the_function_that_returns_them_are_named(handed_in, got):
    verdict = check.student_in_budget(*handed_in)
    assert verdict.passed is False
    assert re.search(f"check.student_in_budget.my_function.*You handed in {got}$", verdict.message)


def test_each_sentence_of_the_checks_stands_in_one_place():
    found = Counter()
    for path in Path(check.__file__).parent.glob("*.py"):
        parts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        found.update(part for part in parts if isinstance(part, str) and len(part) >= 30)
    assert [part for part, times in found.items() if times > 1] == []


@pytest.mark.parametrize("name", [name for names in NOTEBOOKS.values() for name in names])
@pytest.mark.parametrize("answer", [3, None, "text", lambda *inputs: "text", lambda *inputs: {}, lambda: 10**400, type])
def test_a_check_never_raises_and_never_passes_rubbish(name, answer):
    assert check_of(name)(answer).passed is not True


def test_a_notebook_that_switched_gradients_off_is_checked_all_the_same():
    with torch.no_grad():
        assert check.kd_gradient(EXERCISES["kd_gradient"][0][1]).passed
