"""A check passes right answers however they are written, and names the misconception behind wrong ones."""

import pytest
import torch
import torch.nn.functional as F

from kdkit import check

RIGHT = {
    "method": lambda z, t: (z / t).softmax(dim=1),
    "function": lambda z, t: F.softmax(z / t, -1),
    "by hand": lambda z, t: (z / t).exp() / (z / t).exp().sum(1, keepdim=True),
    "through the log": lambda z, t: (z / t).log_softmax(1).exp(),
    "in place": lambda z, t: z.div_(t).softmax(1),
    "in float64": lambda z, t: torch.softmax(z.double() / t, 1),
}

WRONG = {
    "multiplied": (lambda z, t: (z * t).softmax(1), "multiplied by the temperature"),
    "no temperature": (lambda z, t: z.softmax(1), "makes no difference"),
    "after the softmax": (lambda z, t: z.softmax(1) / t, "before the softmax"),
    "over the batch": (lambda z, t: (z / t).softmax(0), "runs over the batch"),
    "log": (lambda z, t: (z / t).log_softmax(1), "log-probabilities"),
    "twice": (lambda z, t: (z / t).softmax(1).softmax(1), "softmax twice"),
    "half": (lambda z, t: (z / t).softmax(1) / 2, "largest difference to the right answer"),
    "not a number": (lambda z, t: z * float("nan"), "largest difference to the right answer is inf"),
    "one row": (lambda z, t: (z / t).softmax(1)[0], r"shape \[7\]; expected \[5, 7\]"),
    "no return": (lambda z, t: None, "is the `return` missing"),
    "a list": (lambda z, t: (z / t).softmax(1).tolist(), "gives list; a tensor"),
    "crash inside torch": (
        lambda z, t: F.softmax(z / t, dim=5),
        r"stopped at .*F\.softmax\(z / t, dim=5\).*IndexError",
    ),
    "crash": (lambda z, t: z / t / missing, "stopped at .*NameError"),  # noqa: F821
}


@pytest.mark.parametrize("how", RIGHT)
def test_a_right_answer_passes_however_it_is_written(how):
    verdict = check.soft_targets(RIGHT[how])
    assert verdict.passed is True and repr(verdict).startswith("✓ right")


@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_answer_is_named(how):
    import re

    function, message = WRONG[how]
    verdict = check.soft_targets(function)
    assert verdict.passed is False and re.search(message, repr(verdict)), verdict


def test_an_untouched_stub_is_not_attempted_yet():
    verdict = check.soft_targets(lambda z, t: ...)
    assert verdict.passed is None and "not attempted yet" in repr(verdict)


def test_inputs_are_new_each_time():
    seen = []
    for _ in range(2):
        check.soft_targets(lambda z, t: seen.append(z) or (z / t).softmax(1))
    assert not torch.equal(seen[0], seen[check.ROUNDS])


def test_a_check_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    check.soft_targets(RIGHT["method"])
    assert torch.equal(torch.get_rng_state(), before)
