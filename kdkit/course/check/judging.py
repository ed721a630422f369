"""How an answer is judged: new random inputs, the right answer beside it, and the mistake that explains it."""

import copy
import dis
import inspect
import math
import numbers
import re
import traceback
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import combinations, product
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdkit.course.check import words

TOLERANCE = 1e-4
ROUNDING = 1e-3  # an answer in half precision is right too;
COARSE = 3e-2  # bfloat16 has three bits fewer


class Verdict:
    """What a check found: ``passed`` is True, False, or None for "not attempted yet"; ``message`` says it in words."""

    MARKS = {True: "✓", False: "✗", None: "○"}  # noqa: RUF012

    def __init__(self, passed: bool | None, message: str):
        self.passed, self.message = passed, message

    def __repr__(self):
        return f"{self.MARKS[self.passed]} {self.message}"


def guess(
    yours: str | float | EllipsisType, answer: str | float, choices: Sequence[str] | None = None, within: float = 0.1
) -> Verdict:
    """Set a guess beside the answer: a name (of ``choices``), or a number, which may be off by the share ``within``.

    A number is as good as its own digits, too: 0.1 is close to 0.077. ``...`` counts as not guessed: then the answer
    is not told.
    """
    if yours is Ellipsis:
        return Verdict(None, "no guess yet: write it in place of the dots and run the cell again, or read on")
    if isinstance(answer, str):
        named = str(yours).strip().lower()
        if choices is not None and named not in choices:
            return Verdict(False, f"you wrote {yours!r}, which is none of {', '.join(choices)}: try again")
        return Verdict(named == answer, f"you said {named}: {'right' if named == answer else f'it is {answer}'}")
    try:
        yours = float(yours)
    except (TypeError, ValueError):
        yours = math.nan
    if not math.isfinite(yours):
        return Verdict(False, "a number is wanted: try again")
    off = yours - answer
    close = abs(off) <= within * abs(answer) or _rounds_to(answer, yours)
    verdict = "close enough" if close else f"{abs(off):.3g} too {'high' if off > 0 else 'low'}"
    return Verdict(close, f"you said {yours:.3g}; it is {answer:.3g}: {verdict}")


def _rounds_to(answer, yours):
    """Whether the answer is this guess, rounded to as many decimals, and not another number by half as much again."""
    decimals = max(-Decimal(str(yours)).normalize().as_tuple().exponent, 0)
    return bool(yours) and round(answer, decimals) == yours and 2 / 3 <= yours / answer <= 3 / 2


def judge(
    function: Callable,
    cases: Sequence[tuple],
    right: Callable,
    mistakes: dict[str, Callable],
    pairs: dict[str, Callable] | None = None,
    found: Callable | None = None,
) -> Verdict:
    """Compare ``function`` with ``right`` on all ``cases``; if it is wrong, look for the mistake that explains it.

    ``right`` and each of ``mistakes``, by the words that explain it: functions of the same arguments. ``pairs``: two of
    them at once (``two_at_once``). ``found``: the broken function that the reader was given to fix; the same answers
    again are no attempt.
    """
    refused = refuse(function, cases[0])
    if refused:
        return refused
    answers, in_place = [], False
    for case in cases:
        given = copy.deepcopy(case)
        try:
            answer = function(*given)
        except Exception as error:
            return stopped(error, function)
        if answer is Ellipsis:
            return Verdict(None, words.NOT_ATTEMPTED)
        unusable = refuse_answer(answer, right(*copy.deepcopy(case)).shape)
        if unusable:
            return unusable
        in_place |= changed(given, case)
        rounding = COARSE if getattr(answer, "dtype", None) == torch.bfloat16 else ROUNDING
        answers.append(plain(answer))
    verdict = _compare(function, answers, cases, right, (mistakes, pairs or {}), found, rounding)
    return and_in_place(verdict) if in_place else verdict


def _compare(function, answers, cases, right, mistakes, found, rounding):
    gap = _largest_gap(answers, cases, right)
    if gap <= TOLERANCE:
        return Verdict(True, f"right: the same as ours on {len(cases)} random inputs (largest difference {gap:.0e})")
    if found is not None and _agree(answers, cases, found):
        return Verdict(None, words.AS_FOUND)
    wrong = _mistake(answers, cases, right, *mistakes)
    got, expected = list(answers[0].shape), list(right(*cases[0]).shape)
    off = f"largest difference {gap:.2g}" if got == expected else f"shape {got}; expected {expected}"
    if not wrong and _largest_gap(answers, cases, right, relative=True) <= rounding:
        return Verdict(True, f"right, up to rounding (largest difference {gap:.0e})")
    wrong = wrong or _mistake_and_factor(answers, cases, mistakes[0])
    if wrong:
        return Verdict(False, f"not yet: {wrong} ({off})")
    if got != expected:
        return Verdict(False, f"your answer has {off}")
    suspects = "".join(f". {suspect}" for suspect in outsiders(function))
    return Verdict(False, f"not yet: the largest difference to the right answer is {gap:.2g}{suspects}")


def changed(given: Sequence, before: Sequence) -> bool:
    """Whether a tensor of these arguments holds other numbers than ``before``."""
    pairs = [pair for pair in zip(given, before, strict=True) if isinstance(pair[0], torch.Tensor)]
    return any(not torch.equal(now, was) for now, was in pairs)


def and_in_place(verdict: Verdict) -> Verdict:
    """The verdict on an answer that has changed what it was given."""
    if verdict.passed:
        return Verdict(False, f"not yet: the numbers are right, but {words.IN_PLACE}")
    return Verdict(verdict.passed, f"{verdict.message}. Besides, {words.IN_PLACE}")


def _mistake(answers, cases, right, mistakes, pairs):
    """What explains these wrong ``answers``, in words; None where nothing that is known does."""
    for explanation, wrong in {**mistakes, **_with_a_four(cases[0], right, mistakes), **pairs}.items():
        if _agree(answers, cases, wrong):
            return explanation
    factor = _factor(answers, cases, right)
    return factor and f"yours is the right answer times {factor}"


def _mistake_and_factor(answers, cases, mistakes):
    """The mistake that explains ``answers`` but for a factor, in words, or None."""
    for explanation, wrong in mistakes.items():
        factor = _factor(answers, cases, wrong)
        if factor:
            return words.two(explanation, f"that is multiplied by {factor}")
    return None


def two_at_once(build: Callable[..., Callable], changes: dict[str, dict]) -> tuple[dict, dict]:
    """Mistakes, alone and any two at once that do not touch the same thing: two dicts of words to functions.

    ``build(**change)`` makes the function with a mistake; ``changes``: what it is to be called with, by the words.
    """
    alone = {explanation: build(**change) for explanation, change in changes.items()}
    pairs = {
        words.two(first, second): build(**a, **b)
        for (first, a), (second, b) in combinations(changes.items(), 2)
        if not a.keys() & b.keys()
    }
    return alone, pairs


def _with_a_four(case, right, mistakes):
    """What comes out, of the right answer and of each mistake, where 4 stands in place of the temperature."""
    numbers = [place for place, value in enumerate(case) if isinstance(value, float)]
    if not numbers:
        return {}

    def at_four(function):
        return lambda *case: function(*case[: numbers[0]], 4.0, *case[numbers[0] + 1 :])

    both = {words.two(words.FOUR, explanation): at_four(wrong) for explanation, wrong in mistakes.items()}
    return {words.FOUR: at_four(right), **both}


def refuse(function: Callable, case: tuple) -> Verdict | None:
    """A verdict where ``function`` cannot even be called with ``case``; None where it can."""
    try:
        inspect.signature(function).bind(*case)
    except TypeError:
        return Verdict(False, f"hand in a function of {len(case)} arguments, the one that you were given")
    except ValueError:
        pass  # written in C: it has no signature to look at
    return None


def refuse_answer(answer: Any, shape: Sequence[int]) -> Verdict | None:
    """A verdict where ``answer`` is nothing that could be compared with a tensor of ``shape``; None where it is."""
    if answer is None:
        return Verdict(False, words.RETURN_MISSING)
    if isinstance(answer, torch.Tensor | numbers.Real | np.generic):
        return None
    wanted = f"a tensor {list(shape)}" if len(shape) else "a number"
    return Verdict(False, f"your function gives {type(answer).__name__}; {wanted} is wanted")


def plain(answer: Tensor | float) -> Tensor:
    """An answer to compare, of any shape ``[...]``: float64, on the CPU, without a past."""
    return torch.as_tensor(answer).detach().cpu().double()


def _factor(answers, cases, right):
    """How ``answers`` differ from those of ``right``, if by signs, sizes and temperatures alone: "B/T"."""
    wanted = [plain(right(*copy.deepcopy(case))) for case in cases]
    if any(a.shape != b.shape for a, b in zip(answers, wanted, strict=True)):
        return None
    sizes = [_sizes(case) for case in cases]
    choices = [(0, 1, -1, 2, -2) if letter == "T" else (0, 1, -1) for letter in sizes[0]]
    for sign, *exponents in product((1, -1), *choices):
        powers = dict(zip(sizes[0], exponents, strict=True))
        if sign == 1 and not any(exponents):
            continue  # right but for rounding
        factors = (sign * math.prod(size[letter] ** k for letter, k in powers.items()) for size in sizes)
        scaled = zip(answers, factors, wanted, strict=False)
        if all(torch.allclose(a, factor * b, rtol=1e-3, atol=TOLERANCE) for a, factor, b in scaled):
            factor = "-" * (sign < 0) + _product(powers)
            return f"{factor} ({words.LETTERS})" if re.search("[BLCT]", factor) else factor
    return None


def _sizes(case):
    """The sizes of a case by their letters, and T where there is one: the first plain number."""
    first = case[0]
    shape = first.shape if isinstance(first, torch.Tensor) else ()
    temperature = [("T", value) for value in case if isinstance(value, float)][:1]
    letters = "BLC" if len(shape) == 3 else "BC" if len(shape) == 2 else ""
    return dict([*zip(letters, shape, strict=False), *temperature])


def _product(powers):
    def side(keep):
        parts = [name + (f"^{abs(k)}" if abs(k) > 1 else "") for name, k in powers.items() if keep(k)]
        return " ".join(parts) or "1"

    below = side(lambda k: k < 0)
    return side(lambda k: k > 0) + (f"/({below})" if " " in below else f"/{below}" if below != "1" else "")


def _agree(answers, cases, function):
    """Whether ``function`` gives these answers. The first that differs is enough to know."""
    close = {"rtol": TOLERANCE, "atol": TOLERANCE, "equal_nan": True}
    pairs = ((answer, plain(function(*copy.deepcopy(case)))) for answer, case in zip(answers, cases, strict=True))
    return all(answer.shape == other.shape and torch.allclose(answer, other, **close) for answer, other in pairs)


def _largest_gap(answers, cases, function, relative=False):
    """Infinite where shapes differ; where both are nan they agree. ``relative``: to the largest of each case."""
    worst = 0.0
    for answer, case in zip(answers, cases, strict=True):
        wanted = function(*copy.deepcopy(case)).double()
        if answer.shape != wanted.shape:
            return math.inf
        gap = torch.where(answer.isnan() & wanted.isnan(), 0.0, (answer - wanted).abs())
        if relative:
            gap = gap / wanted.abs().max().clamp(min=1e-9)
        worst = max(worst, gap.nan_to_num(nan=math.inf).max().item())
    return worst


HINTS = {  # what torch's commonest complaints mean for somebody who writes a loss
    r"name '(torch|F|math|np)' is not defined": "import it first, in a cell of its own: `import torch`, `import "
    "torch.nn.functional as F`, `import math` or `import numpy as np`",
    r"name '\w+' is not defined": "run the cells above first, or look at the spelling",
    r"unsupported operand type.*ellipsis|ellipsis.*attribute|'ellipsis'": "a ... is still left in it",
    r"must match the size|shapes cannot be multiplied|not broadcastable": "print the .shape of both sides; a mean or "
    "sum over the classes needs keepdim=True if you go on with it",
    r"Dimension out of range": "classes are the last dimension: dim=1 of [B, C], or dim=-1",
    r"must be real number, not Tensor|numpy.*dimension|can't convert type 'Tensor'": "tensors are handed in: use their "
    "own .std(), or hand .tolist() on",
    r"Expected input batch_size": "one label for each image, or for each token, is wanted: classes are the last "
    "dimension",
    r"Expected target size": "F.cross_entropy looks for the classes in dimension 1: make sentences and tokens one "
    "dimension first, with .flatten(0, 1) and .flatten()",
    r"index -100 is out of bounds": "-100 is no word: leave those tokens out first",
    r"shape of the mask .* does not match": "print the .shape of both sides; where a function goes over a dimension, "
    "say dim=-1 for the last",
    r"expected scalar type|Expected floating point|not implemented for 'Long'": "logits are floats, labels whole "
    "numbers: look at which of the two stands there",
    r"does not require grad": "the student's answer is not in the loss, stands in the teacher's place, or was cut "
    "off by no_grad, detach or item",
    r"modified by an inplace operation": "do not change the student's logits in place: their gradient needs them",
    r"backward through the graph a second time": "call backward() once for each answer of the student",
    r"Inference tensors cannot": "torch.no_grad() for the teacher: what inference_mode gives cannot stand in a loss",
    r"missing \d+ required positional argument|positional arguments? but": "look at the arguments of that call",
    r"is not a valid value for reduction": "reduction is 'none', 'sum', 'mean' or 'batchmean'",
}


def stopped(error: Exception, function: Callable) -> Verdict:
    """The reader's own line that failed, without the wall of the traceback, and what such an error often means."""
    code = _code(function)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    if own:
        said = f"your code stopped at `{own[-1].line or f'line {own[-1].lineno}'}`: {type(error).__name__}: {error}"
    else:
        said = f"what you handed in could not be judged: {type(error).__name__}: {error}"
    hints = outsiders(function) + [hint for pattern, hint in HINTS.items() if re.search(pattern, str(error))]
    return Verdict(False, f"{said} (Hint: {hints[0]}.)" if hints else said)


def _code(function):
    """The reader's code: of a function, or of the method of a class that does the work."""
    return getattr(inspect.unwrap(function), "__code__", None)


def outsiders(function: Callable) -> list[str]:
    """A sentence if ``function`` uses a tensor of the notebook in place of one that it was given; in a list."""
    code, around = _code(function), getattr(inspect.unwrap(function), "__globals__", {})
    used = [step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"] if code else []
    names = [name for name in used if isinstance(around.get(name), torch.Tensor)]
    return [f"`{names[0]}` is not made in your function: it is a variable of the notebook"] if names else []
