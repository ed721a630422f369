"""The exercise of the consulting room: what is wrong with five distillations, answered by evidence."""

from collections.abc import Callable

from kdkit.course import patients
from kdkit.course.check import words
from kdkit.course.check.judging import Verdict
from kdkit.course.check.record import exercise


@exercise
def diagnosis(function: Callable) -> Verdict:
    """Check ``function() -> dict``: of each patient's name, one word of ``patients.DIAGNOSES``; ... where none is made.

    A wrong word is answered by the figure that speaks against it.
    """
    said = function()
    if said is Ellipsis:
        return Verdict(None, words.NOT_ATTEMPTED)
    if said is None:
        return Verdict(False, words.RETURN_MISSING)
    if not isinstance(said, dict) or not set(said) <= set(patients.names()):
        return Verdict(
            False, f"a dict of name to word is wanted, for {', '.join(patients.names())}; got {_short(said)}"
        )
    verdicts = {name: _of(name, said.get(name, ...)) for name in patients.names()}
    right = sum(verdict.passed is True for verdict in verdicts.values())
    lines = [f"{Verdict.MARKS[one.passed]} {name}: {one.message}" for name, one in verdicts.items()]
    passed = False if any(one.passed is False for one in verdicts.values()) else True if right == len(lines) else None
    return Verdict(passed, "\n".join([f"{right} of {len(lines)} diagnoses are right", *lines]))


def _short(said):
    return f"one for {', '.join(map(str, said))}" if isinstance(said, dict) else type(said).__name__


def _of(name: str, word: object) -> Verdict:
    """The verdict on one patient's diagnosis."""
    if word is Ellipsis:
        return Verdict(None, "no diagnosis yet")
    if not isinstance(word, str) or word not in patients.DIAGNOSES:
        return Verdict(False, f"{word!r} is none of {', '.join(patients.DIAGNOSES)}")
    report = patients.report(name)
    if word in report.unchecked:
        return Verdict(False, f"not {word}: {report.unchecked[word]}")
    found = report.checks[word]
    if word in report.findings:
        return Verdict(True, f"{word}, right ({found.figure}). {found.sentence}")
    if found.wrong:
        return Verdict(
            False, f"{word} ({found.figure}) is what follows, not what it follows from: look at what is earlier"
        )
    return Verdict(False, f"not {word}: {found.figure}. {found.sentence}")
