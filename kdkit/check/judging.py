"""How an answer is judged: new random inputs, the right answer beside it, and the mistake that explains it."""

import copy
import inspect
import math
import secrets
import traceback
from itertools import product

import torch

ROUNDS = 20
TOLERANCE = 1e-4
ROUNDING = 1e-3  # an answer in half precision is right too


class Verdict:
    """What a check found: ``passed`` is True, False, or None for "not attempted yet"; ``message`` says it in words."""

    MARKS = {True: "✓", False: "✗", None: "○"}  # noqa: RUF012

    def __init__(self, passed, message):
        self.passed, self.message = passed, message

    def __repr__(self):
        return f"{self.MARKS[self.passed]} {self.message}"


def guess(yours, answer, choices=None, within=0.1):
    """Set a guess beside the answer: a name (of ``choices``), or a number, which may be off by the share ``within``.

    ``...`` counts as not guessed: then the answer is not told.
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
    if math.isnan(yours):
        return Verdict(False, "a number is wanted: try again")
    off = yours - answer
    close = abs(off) <= within * abs(answer)
    words = "close enough" if close else f"{abs(off):.3g} too {'high' if off > 0 else 'low'}"
    return Verdict(close, f"you said {yours:.3g}; it is {answer:.3g}: {words}")


def judge(function, cases, right, mistakes):
    """Compare ``function`` with ``right`` on all ``cases``; if it is wrong, look for the mistake that explains it."""
    try:
        inspect.signature(function).bind(*cases[0])
    except TypeError:
        return Verdict(False, f"hand in a function of {len(cases[0])} arguments, the one that you were given")
    except ValueError:
        pass  # written in C: it has no signature to look at
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
        if not isinstance(answer, torch.Tensor | int | float):
            wanted = list(right(*case).shape)
            return Verdict(False, f"your function gives {type(answer).__name__}; a tensor {wanted} is wanted")
        answers.append(torch.as_tensor(answer).detach().double())
    gap = _largest_gap(answers, cases, right)
    if gap <= TOLERANCE:
        return Verdict(True, f"right: the same as ours on {len(cases)} random inputs (largest difference {gap:.0e})")
    found, expected = list(answers[0].shape), list(right(*cases[0]).shape)
    off = f"largest difference {gap:.2g}" if found == expected else f"shape {found}; expected {expected}"
    for explanation, wrong in mistakes.items():
        if _largest_gap(answers, cases, wrong) <= TOLERANCE:
            return Verdict(False, f"not yet: {explanation} ({off})")
    if found != expected:
        return Verdict(False, f"your answer has {off}")
    factor = _factor(answers, cases, right)
    if factor:
        return Verdict(False, f"not yet: yours is the right answer times {factor} ({SIZES}; {off})")
    if _largest_gap(answers, cases, right, relative=True) <= ROUNDING:
        return Verdict(True, f"right, up to rounding (largest difference {gap:.0e})")
    return Verdict(False, f"not yet: the largest difference to the right answer is {gap:.2g}")


SIZES = "B is the number of pictures, C of classes, T the temperature"


def _factor(answers, cases, right):
    """How ``answers`` differ from the right ones, if by a factor of signs, sizes and temperatures alone: "B/T"."""
    powers = product((1, -1), (0, 1, -1), (0, 1, -1), (0, 1, -1, 2, -2))
    wanted = [right(*copy.deepcopy(case)).double() for case in cases]
    for sign, *exponents in powers:
        if sign == 1 and not any(exponents):
            continue  # right but for rounding
        factors = [sign * math.prod(x**k for x, k in zip(_sizes(case), exponents, strict=True)) for case in cases]
        scaled = [factor * value for factor, value in zip(factors, wanted, strict=True)]
        if all(torch.allclose(a, b, rtol=1e-3, atol=TOLERANCE) for a, b in zip(answers, scaled, strict=True)):
            return "-" * (sign < 0) + _product(exponents)
    return None


def _sizes(case):
    """B, C and T of a case (T = 1 where there is none)."""
    return *case[0].shape, case[-1] if isinstance(case[-1], float) else 1.0


def _product(exponents):
    def side(keep):
        parts = [
            name + (f"^{abs(k)}" if abs(k) > 1 else "") for name, k in zip("BCT", exponents, strict=True) if keep(k)
        ]
        return " ".join(parts) or "1"

    below = side(lambda k: k < 0)
    return side(lambda k: k > 0) + (f"/({below})" if " " in below else f"/{below}" if below != "1" else "")


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


def _where(error, function):
    """The reader's own line that failed, without the wall of the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    code = getattr(inspect.unwrap(function), "__code__", None)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    return f"your code stopped at `{(own or frames)[-1].line}`: {type(error).__name__}: {error}"


# ------------------------------------------------------------------------------------------- random inputs
# Five pictures, seven classes: no two sizes are equal, so a sum over the wrong dimension shows.


def cases(*makers):
    """``ROUNDS`` times one input of each kind, new each time."""
    generator = torch.Generator().manual_seed(secrets.randbits(32))
    return [tuple(make(generator) for make in makers) for _ in range(ROUNDS)]


def logits(generator):
    return torch.randn(5, 7, generator=generator) * 4


def temperature(generator):
    return 1.5 + 6 * torch.rand((), generator=generator).item()  # far from 1, where T, T^2 and 1/T look alike


def probabilities(generator):
    return logits(generator).softmax(1)


def probabilities_with_zeros(generator):
    return torch.cat([probabilities(generator), torch.eye(7)[:1]])


def labels(generator):
    return torch.randint(7, (5,), generator=generator)


def logits_of_many(generator):
    return torch.randn(40, 4, generator=generator) * 2


def all_labels(generator):
    return torch.cat([torch.arange(4), torch.randint(4, (36,), generator=generator)])


def gradient(function, inputs):
    inputs = inputs.detach().clone().requires_grad_()
    return torch.autograd.grad(function(inputs), inputs)[0]
