"""Exercises of one's own project: a teacher asked as it wants to be, and the memo that says whether to ship."""

import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdkit.course.check import samples, words
from kdkit.course.check.judging import Verdict, judge, two_at_once
from kdkit.course.check.record import exercise
from kdkit.measure import metrics

# ------------------------------------------------------------------------------------- a teacher of other making

NAMES = ("oak", "elm", "fir", "ash", "yew")


class _Stranger(nn.Module):
    """Logits ``[N, 5]`` from the sum over all pixels of a network's image, so that its size matters."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = torch.randn(3, len(NAMES), generator=generator)

    def forward(self, images: Tensor) -> Tensor:
        return images.sum((2, 3)) @ self.weight / 25


def _case(generator: torch.Generator) -> tuple:
    """Images ``[4, 3, S, S]``, each of one colour so that every way to scale is as good, and what else is handed in."""
    side, size = (int(n) for n in torch.randperm(5, generator=generator)[:2] + 3)
    images = torch.rand(4, 3, 1, 1, generator=generator).expand(-1, -1, side, side).clone()
    mean, std = 0.4 + 0.1 * torch.rand(3, generator=generator), 0.2 + 0.1 * torch.rand(3, generator=generator)
    known, chosen = (torch.randperm(len(NAMES), generator=generator).tolist() for _ in range(2))
    names = [NAMES[place] for place in known]
    wanted = [names[place] for place in chosen[:3]]
    if wanted == sorted(wanted) or chosen[:3] == sorted(chosen[:3]) or set(chosen[:3]) == {0, 1, 2}:
        return _case(generator)  # an order that another mistake would give too
    return images, _Stranger(generator), size, mean, std, names, wanted


def _scaled(x, size):
    return F.interpolate(x, (size, size), mode="bilinear")


def _by_name(known, wanted):
    return [known.index(name) for name in wanted]


def _asked(*, side=None, scale=True, normalise=lambda x, m, s: (x - m) / s, pick=_by_name, before=lambda z: z):
    """A function as it is wanted, or with mistakes: its answers less their mean, for that is all that logits say."""

    def ask(images, network, size, mean, std, known, wanted):
        x = _scaled(images, side or size) if scale else images
        x = normalise(x, mean[:, None, None], std[:, None, None])
        return _centred(before(network(x))[:, pick(known, wanted)])

    return ask


def _centred(answer):
    fits = isinstance(answer, torch.Tensor) and answer.ndim == 2
    return answer - answer.mean(1, keepdim=True) if fits else answer


ASK_CHANGES: dict[str, dict[str, Any]] = {
    "the pixels are not normalised: subtract the mean, divide by the standard deviation": {
        "normalise": lambda x, m, s: x
    },
    "the pixels are normalised twice: they come from [0, 1] once": {"normalise": lambda x, m, s: ((x - m) / s - m) / s},
    "the normalisation is turned round: you multiply by std and add the mean, which undoes one": {
        "normalise": lambda x, m, s: x * s + m
    },
    "the mean is subtracted, and nothing is divided by std": {"normalise": lambda x, m, s: x - m},
    "you divide by std, and the mean is not subtracted first": {"normalise": lambda x, m, s: x / s},
    "you divide by 255, and these pixels lie in [0, 1] already": {"normalise": lambda x, m, s: (x / 255 - m) / s},
    "classes are taken by position, the first logits: look each wanted name up in the names that are known": {
        "pick": lambda known, wanted: list(range(len(wanted)))
    },
    "the right classes, in the network's order: the first logit must be that of the first wanted name": {
        "pick": lambda known, wanted: sorted(map(known.index, wanted))
    },
    "the right classes, in the order of the alphabet: wanted has an order of its own": {
        "pick": lambda known, wanted: [known.index(name) for name in sorted(wanted)]
    },
    "you took the softmax before selecting: then the classes that nobody wants keep their share. Select the logits": {
        "before": lambda z: z.softmax(1)
    },
    "the images are not resized: the network wants size x size pixels": {"scale": False},
    "resized to 64, as in the notebook: here each network has a size of its own, which is handed in": {"side": 64},
    "resized to 32, as the data has it: use the size that is handed in, which is the network's": {"side": 32},
}
ASK_MISTAKES = two_at_once(_asked, ASK_CHANGES)


@exercise
def ask_teacher(function: Callable) -> Verdict:
    """Check ``function(images, network, size, mean, std, known, wanted) -> logits [N, wanted]``: the images scaled and
    normalised for the network, its logits picked by name.

    ``images`` ``[N, 3, H, W]`` in [0, 1]; ``mean``, ``std`` ``[3]``; ``known``, ``wanted``: lists of names. Logits that
    differ by a number an image are the same: all softmaxes of them are.
    """

    @functools.wraps(function)
    def centred(*case):
        return _centred(function(*case))

    return judge(centred, [case[0] for case in samples.cases(_case)], _asked(), *ASK_MISTAKES)


# --------------------------------------------------------------------------------------------------- the memo

FIELDS = ("recommendation", "claim", "evidence", "cost", "risk", "not tested")
RECOMMENDED = ("ship", "do not ship", "wait")
CLAIMS = ("gain", "loss", "no difference shown")
DIGITS = r"[-+]?\d+(?:\.\d+)?"
NUMBER = re.compile(rf"(?<![\w.])({DIGITS})(?:\s*(%|points?\b|ms\b|milliseconds?\b)|(?!\w|\.\d))")
BETTER = re.compile(r"\b(better|gain\w*|improv\w+|higher|helps?|more accurate|outperform\w*)\b", re.IGNORECASE)
DENIED = re.compile(r"\b(no|not|none|nothing|cannot|without|never)\b|n't", re.IGNORECASE)
DASHES = {0x2012: "-", 0x2013: "-", 0x2212: "-"}  # as a text editor may write a minus
UNITS = {"point": "points", "millisecond": "ms", "milliseconds": "ms"}
FEW_WORDS = 4


class Figure(NamedTuple):
    """A number of a report: what it is, its ``value`` in ``unit`` ("%", "points", "ms", or "")."""

    name: str
    value: float
    unit: str = ""


@exercise
def memo(function: Callable, result: Mapping[str, Any]) -> Verdict:
    """Check ``function() -> dict`` with the keys ``FIELDS``: the memo about ``result``, what ``distill --json`` wrote.

    The figures in "evidence" and "cost" are held against the result's. What a rubric cannot judge, whether the
    recommendation is wise, it leaves to the reader.
    """
    said = function()
    if said is Ellipsis or (isinstance(said, dict) and all(value is Ellipsis for value in said.values())):
        return Verdict(None, words.NOT_ATTEMPTED)
    if said is None:
        return Verdict(False, words.RETURN_MISSING)
    if not isinstance(said, dict) or set(said) != set(FIELDS):
        return Verdict(False, f"a dict with these keys is wanted: {', '.join(FIELDS)}")
    open_fields = [name for name in FIELDS if said[name] is Ellipsis]
    if open_fields:
        return Verdict(False, f"not yet: still to be filled in: {', '.join(open_fields)}")
    if not all(isinstance(text, str) for text in said.values()):
        return Verdict(False, "each entry is to be a text in quotation marks")
    known = figures_of(result)
    faults = [*_choices(said), *_claim(said, result), *_figures(said, known), *_interval(said, known), *_limits(said)]
    if faults:
        return Verdict(False, "\n".join(["not yet:", *(f"- {fault}" for fault in faults)]))
    return Verdict(
        True, f"a memo that holds: it recommends {said['recommendation']!r}, and its figures are the report's. {WISDOM}"
    )


WISDOM = "Whether the recommendation is wise no rubric can say: read it to somebody who has to pay for it"


def figures_of(result: Mapping[str, Any]) -> list[Figure]:
    """The numbers of a result of ``distill`` that a memo may quote."""
    pair = _pair(result)
    found = [Figure("the gain", 100 * pair.mean, "points"), Figure("the level of the interval", 95, "%")]
    found += [Figure(f"the {end} end", 100 * getattr(pair, end), "points") for end in ("low", "high") if _wide(pair)]
    for row in result["runs"]:
        for arm in "alone", "distilled":
            found.append(Figure(f"seed {row['seed']}, {arm}", 100 * row[f"student_{arm}"], "%"))
        gain = row["student_distilled"] - row["student_alone"]
        found.append(Figure(f"the gain of seed {row['seed']}", 100 * gain, "points"))
    networks = result["networks"]
    for who, about in networks.items():
        found += [Figure(f"{who}: {what}", 100 * about[what], "%") for what in ("accuracy", "agreement")]
        found.append(Figure(f"{who}: calibration error", about["ece"]))
        shares = zip(result["classes"], about["by_class"], strict=True)
        found += [Figure(f"{who}: {name}", 100 * share, "%") for name, share in shares if share is not None]
    below = networks["teacher"]["accuracy"] - networks["distilled"]["accuracy"]
    found.append(Figure("the teacher's lead", 100 * below, "points"))
    found.append(Figure("seeds", len(result["runs"])))
    found += [Figure(f"images to {part}", result["images"][part]) for part in ("train", "val", "test")]
    for who, about in result["cost"].items():
        if who in ("teacher", "student"):
            found.append(Figure(f"{who}: parameters", about["parameters"]))
            times = about["milliseconds"].items()
            found += [Figure(f"{who}: {batch} images at once", value, "ms") for batch, value in times]
            found += [Figure("images at once", float(batch)) for batch, _ in times]
    return found


def _pair(result):
    alone, distilled = ([row[f"student_{arm}"] for row in result["runs"]] for arm in ("alone", "distilled"))
    return metrics.paired_interval(distilled, baseline=alone)


def _wide(pair):
    return math.isfinite(pair.low) and math.isfinite(pair.high)


def _choices(said):
    for name, choices in ("recommendation", RECOMMENDED), ("claim", CLAIMS):
        if said[name].strip().lower() not in choices:
            yield f"{name} is to be one of {', '.join(map(repr, choices))}; you wrote {said[name]!r}"


def _shown(result):
    """Which of ``CLAIMS`` the interval allows."""
    pair = _pair(result)
    return "gain" if pair.low > 0 else "loss" if pair.high < 0 else "no difference shown"


def _claim(said, result):
    claimed, shown = said["claim"].strip().lower(), _shown(result)
    if claimed in CLAIMS and claimed != shown:
        yield f"you claim {claimed!r}; the interval shows {shown!r}: {_pair(result).verdict}"
    elif shown != "gain":
        bold = [part for part in re.split(r"(?<=[.;])\s", said["evidence"]) if BETTER.search(part)]
        for part in bold:
            if not DENIED.search(part):
                yield f"'{BETTER.search(part)[0]}' claims a gain that is not shown: {_pair(result).verdict}"


def _numbers(text):
    """(as written, number, how many decimals, unit) of each number in a text."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text.translate(DASHES))
    for match in NUMBER.finditer(text):
        digits, unit = match[1], match[2] or ""
        yield match[0], float(digits), len(digits.partition(".")[2]), UNITS.get(unit, unit)


def _is(figure, number, decimals):
    return abs(figure.value - number) <= 0.5 * 10**-decimals + 1e-9


def _like(number, decimals, figures):
    """Those of ``figures`` that this number may stand for, whatever its sign: a loss of 2 points is a gain of -2."""
    return [each for each in figures if _is(each, number, decimals) or _is(each, -number, decimals)]


def _figures(said, known):
    """Numbers that are none of the report's, with the nearest that is."""
    for name in "evidence", "cost":
        for written, number, decimals, unit in _numbers(said[name]):
            alike = [figure for figure in known if figure.unit == unit] if unit else known
            if _like(number, decimals, alike):
                continue
            points = _like(number, decimals, [figure for figure in known if figure.unit == "points"])
            if unit == "%" and points:
                what = points[0].name
                yield f"{name} says {written}, which is {what}: a difference of two shares is in points, not in %"
                continue
            near = min(alike, key=lambda figure: abs(figure.value - number))
            value = f"{near.value:.{decimals + 1}f} {near.unit}".rstrip()
            yield f"{name} says {written}, and the report has no such figure. Nearest: {value}, {near.name}"


def _interval(said, known):
    ends = [figure for figure in known if figure.name.endswith(" end")]
    if not ends:
        yield "one pair has no interval, and without one there is no evidence: train more pairs"
        return
    numbers = list(_numbers(said["evidence"]))
    missing = [end for end in ends if not any(_is(end, number, decimals) for _, number, decimals, _ in numbers)]
    if len(missing) == len(ends):
        yield "evidence names no interval: a mean without one may be luck. Both of its ends, with their signs"
    elif missing:
        yield f"evidence has one end of the interval, and {missing[0].name} is missing, with its sign"


def _limits(said):
    for name, ask in ("risk", "what may go wrong, and for whom?"), ("not tested", "which question is left open?"):
        if len(said[name].split()) < FEW_WORDS:
            yield f"{name!r} names no limit yet, in a sentence: {ask}"
    if not list(_numbers(said["cost"])):
        yield "cost holds no number: what does the student take, beside its teacher?"
