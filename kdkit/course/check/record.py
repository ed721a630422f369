"""What a reader has tried and solved: kept in a file beside the notebook, which they may delete at any time."""

import functools
import html
import inspect
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import torch

from kdkit.course import numbered
from kdkit.course.check import judging
from kdkit.data import files

FILE = "kdkit-progress.json"
NOTEBOOKS = {
    "00 Start here": ("soft_targets",),
    "01 Dark knowledge": ("mean_soft_targets", "second_choice", "entropy"),
    "02 Temperature": ("kd_gradient", "kl_divergence", "high_temperature_gradient"),
    "03 The loss": ("soft_cross_entropy", "kd_step", "kd_loss", "sequence_kl"),
    "03b The bug museum": (
        "quiet_teacher",
        "sinking_teacher",
        "cliff",
        "coin_tosser",
        "never_zero",
        "pale_targets",
        "frozen_student",
        "restless_kl",
        "too_good",
        "healthy_loss",
        "short_sighted",
    ),
    "04 CIFAR-10": ("margin_of_error", "argmax_loss"),
    "05 Not faster": ("student_in_budget",),
    "06 A BERT": ("masked_lm", "cosine_distance"),
    "07 Beyond logits": ("projected_hint", "gram", "other_classes"),
    "08 When it fails": ("beyond_class", "diagnosis"),
    "09 Distilling generators": ("shift_and_mask", "reverse_kl", "on_policy", "top_k_tail"),
    "10 Your own": ("ask_teacher", "memo"),
}
SOLVED, TRIED, OPEN = "✓", "✗", "○"


def exercise(check: Callable[..., judging.Verdict]) -> Callable[..., judging.Verdict]:
    """Make ``check(function) -> Verdict`` an exercise: it never raises, whatever is handed in, and its verdicts count
    towards the reader's progress. A check may take more than the function: what it is held against.
    """
    wanted = len(inspect.signature(check).parameters)

    @functools.wraps(check)
    def checked(*handed_in):
        if len(handed_in) != wanted or not callable(handed_in[0]):
            return _no_function(check.__name__, handed_in)
        function, *beside = handed_in
        try:
            with torch.enable_grad():  # a notebook may have switched it off
                verdict = check(function, *beside)
        except Exception as error:
            verdict = judging.stopped(error, function)
        ours = getattr(function, "__name__", "").endswith("_solution")
        if verdict.passed is not None and not ours and in_notebook():
            try:
                _record(check.__name__, verdict)
            except OSError as error:  # a folder that cannot be written to is no reason to withhold the verdict
                verdict.message += f" (Progress was not kept in {FILE}: {error.strerror or error}.)"
        return verdict

    return checked


def _no_function(name, handed_in):
    """The verdict on numbers, say, in place of the function that returns them."""
    got = " and ".join(shown if len(shown := repr(value)) <= 40 else type(value).__name__ for value in handed_in)
    return judging.Verdict(
        False,
        f"hand in the function that you wrote, by its name alone: `check.{name}(my_function)`, without a call in the "
        f"brackets. You handed in {got or 'nothing'}",
    )


def progress(*names: str) -> "Progress":
    """What you have solved so far, notebook by notebook, of the exercises ``names`` or of all. Shows as a table.

    Its last line is all of your progress as a short code, for a lecturer who makes a table of many (``python -m kdkit
    class``). The course's short copies name the exercises that they have. Raises ``ValueError`` for a name of none.
    """
    known = [name for exercises in NOTEBOOKS.values() for name in exercises]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no exercise is called {unknown[0]!r}; they are: {', '.join(known)}.")
    return Progress(_read(Path(FILE)), names or known)


class Progress:
    """``kept``: a dict of exercise to {"attempts": number, "solved": bool, "mistakes": words of those that the check
    named}; ``shown``: the exercises in the table.
    """

    def __init__(self, kept: dict[str, dict], shown: Collection[str]):
        self.kept, self.shown = kept, shown

    def mark(self, name: str) -> str:
        """One sign for an exercise: solved, tried, or still open."""
        if name not in self.kept:
            return OPEN
        return SOLVED if self.kept[name]["solved"] else TRIED

    def rows(self) -> Iterator[tuple[str, int, int, list[tuple[str, str]]]]:
        """(notebook, how many are solved, of how many, the exercises with their signs), for each notebook with some."""
        for notebook, exercises in NOTEBOOKS.items():
            names = [name for name in exercises if name in self.shown]
            marks = [self.mark(name) for name in names]
            if names:
                yield notebook, marks.count(SOLVED), len(names), list(zip(marks, names, strict=True))

    def __repr__(self):
        lines = [
            f"{notebook:18} {solved} of {count}  " + "  ".join(f"{mark} {name}" for mark, name in exercises)
            for notebook, solved, count, exercises in self.rows()
        ]
        return "\n".join([*lines, LEGEND, *self.code()])

    def code(self) -> list[str]:
        """The line with the code of what was kept; none where nothing was tried."""
        return [f"{CODE} {numbered.written(self.kept)}"] if self.kept else []

    def _repr_html_(self):
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left">{notebook}</th><td>{solved} of {count}</td>'
            f'<td style="text-align:left">{_in_html(exercises)}</td></tr>'
            for notebook, solved, count, exercises in self.rows()
        )
        columns = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in COLUMNS)
        below = "".join(f"<p>{html.escape(line)}</p>" for line in (LEGEND, *self.code()))
        return f"<table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>{below}"


COLUMNS = "notebook", "solved", "exercises"
LEGEND = (
    f"{SOLVED} solved, {TRIED} tried, {OPEN} still open. Kept in {FILE} beside the notebook; delete it to start afresh."
)
CODE = "As a code, for a lecturer who asks for it (tries, exercises solved, mistakes that were named; no name):"


def _in_html(exercises):
    words = {SOLVED: "solved", TRIED: "tried", OPEN: "still open"}
    return " &ensp; ".join(
        f'<span title="{words[mark]}" style="white-space:nowrap">{mark} {name}</span>' for mark, name in exercises
    )


def in_notebook() -> bool:
    """Whether a kernel runs this: elsewhere nobody solves exercises, and no file should appear."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _record(name, verdict):
    path = Path(FILE)
    kept = _read(path)
    before = kept.get(name, _entry(0, False, []))
    met = [] if verdict.passed else numbered.named(verdict.message)
    mistakes = dict.fromkeys([*before["mistakes"], *met])
    kept[name] = _entry(before["attempts"] + 1, before["solved"] or verdict.passed, mistakes)
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _entry(attempts, solved, mistakes):
    return {"attempts": int(attempts), "solved": bool(solved), "mistakes": [str(words) for words in mistakes]}


def _read(path):
    """What ``path`` holds. A damaged file is set aside under another name, and a new one is begun."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8-sig"))  # an editor on Windows may have put a mark before it
        return {str(name): _entry(e["attempts"], e["solved"], e.get("mistakes", [])) for name, e in kept.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        print(f"{path} cannot be read ({error.strerror or error}): your progress is not shown.")
        return {}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        print(f"{path} is damaged. {_set_aside(path)}")
        return {}


def _set_aside(path):
    aside = path.with_name(f"{path.name}.damaged")
    try:
        os.replace(path, aside)
    except OSError as error:
        return f"It cannot be moved away ({error.strerror or error}): delete it."
    return f"It is now {aside}, and your progress begins anew."
