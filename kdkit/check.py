"""Exercise checks: run the reader's function on new random inputs, and say what is wrong with it."""

import copy
import secrets
import traceback

import torch

ROUNDS = 20
TOLERANCE = 1e-4


def soft_targets(function):
    """Check ``function(logits [B, C], temperature) -> probabilities [B, C]`` against softmax(logits / T)."""
    generator = torch.Generator().manual_seed(secrets.randbits(32))  # new inputs each time
    cases = [
        (torch.randn(5, 7, generator=generator) * 4, 0.5 + 6 * torch.rand((), generator=generator).item())
        for _ in range(ROUNDS)
    ]
    mistakes = {
        "you multiplied by the temperature; divide by it: a high temperature makes the logits smaller": (
            lambda z, t: (z * t).softmax(1)
        ),
        "the temperature makes no difference to your answer: divide the logits by it": lambda z, t: z.softmax(1),
        "you divided the probabilities: divide the logits, before the softmax": lambda z, t: z.softmax(1) / t,
        "your softmax runs over the batch: classes are the last dimension, dim=1": lambda z, t: (z / t).softmax(0),
        "these are log-probabilities: softmax, not log_softmax": lambda z, t: (z / t).log_softmax(1),
        "you took the softmax twice": lambda z, t: (z / t).softmax(1).softmax(1),
    }
    return _check(function, cases, lambda z, t: (z / t).softmax(1), mistakes)


class Verdict:
    """What a check found: ``passed`` is True, False, or None for "not attempted yet"; ``message`` says it in words."""

    MARKS = {True: "✓", False: "✗", None: "○"}  # noqa: RUF012

    def __init__(self, passed, message):
        self.passed, self.message = passed, message

    def __repr__(self):
        return f"{self.MARKS[self.passed]} {self.message}"


def _check(function, cases, right, mistakes):
    """Compare ``function`` with ``right`` on all ``cases``; if it is wrong, look for the mistake that explains it."""
    answers = []
    for case in cases:
        try:
            answer = function(*copy.deepcopy(case))  # the reader may change its inputs in place
        except Exception as error:
            return Verdict(False, _where(error, function))
        if answer is Ellipsis:
            return Verdict(None, "not attempted yet: replace the ... and run the cell again")
        if answer is None:
            return Verdict(False, "your function returned nothing: is the `return` missing?")
        problem = _misfit(answer, right(*case))
        if problem:
            return Verdict(False, problem)
        answers.append(answer.detach().double())
    gap = _largest_gap(answers, cases, right)
    if gap <= TOLERANCE:
        return Verdict(True, f"right: the same as ours on {len(cases)} random inputs (largest difference {gap:.0e})")
    for explanation, wrong in mistakes.items():
        if _largest_gap(answers, cases, wrong) <= TOLERANCE:
            return Verdict(False, f"not yet: {explanation} (largest difference {gap:.2g})")
    return Verdict(False, f"not yet: the largest difference to the right answer is {gap:.2g}")


def _largest_gap(answers, cases, function):
    gaps = [(answer - function(*case).double()).abs().max() for answer, case in zip(answers, cases, strict=True)]
    return torch.stack(gaps).nan_to_num(nan=torch.inf).max().item()


def _misfit(answer, expected):
    if not isinstance(answer, torch.Tensor):
        return f"your function gives {type(answer).__name__}; a tensor {list(expected.shape)} is wanted"
    if answer.shape != expected.shape:
        return f"your answer has shape {list(answer.shape)}; expected {list(expected.shape)}"
    return None


def _where(error, function):
    """The reader's own line that failed, without the wall of the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == function.__code__.co_filename]
    return f"your code stopped at `{(own or frames)[-1].line}`: {type(error).__name__}: {error}"
