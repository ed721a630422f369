"""What a reader's code tells of the exercises: each of them, and each mistake, by a number that it keeps for good.

``exercises.txt`` and ``mistakes.txt`` have one a line, and its number is that of the line. New ones are written at the
end; no line is moved, changed or taken out, so a newer version of the course reads the codes of an older one. A mistake
stands there by the words with which checks name it, mostly those before the colon.
"""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kdkit.course import codes

MOST = 7  # attempts: a code says 7 for more
BITS = 10  # of a mistake's number


@functools.cache
def exercises() -> tuple[str, ...]:
    """The names of the exercises, in the order of their numbers."""
    return _lines("exercises.txt")


@functools.cache
def mistakes() -> tuple[str, ...]:
    """The mistakes that checks name, in words, in the order of their numbers."""
    return _lines("mistakes.txt")


def _lines(name):
    return tuple(Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines())


def named(message: str) -> list[str]:
    """The mistakes that the ``message`` of a check names; of two that begin alike, the one with more words.

    >>> named("not yet: two things at once. First, the factor T^2 is missing: [...]. Second, the weights are swapped")
    ['the factor T^2 is missing', 'the weights are swapped']
    """
    found = []
    for words in sorted(mistakes(), key=len, reverse=True):
        if words in message:
            found.append(words)
            message = message.replace(words, "...")
    return found


class Attempts(NamedTuple):
    """What a reader has done: ``tried``, a dict of exercise to number of attempts; those ``solved``; ``mistakes``."""

    tried: dict[str, int]
    solved: set[str]
    mistakes: set[str]

    def __or__(self, other: "Attempts") -> "Attempts":
        """What the same reader has done in two places, or earlier and later."""
        tried = {name: max(one.get(name, 0) for one in (self.tried, other.tried)) for name in self.tried | other.tried}
        return Attempts(tried, self.solved | other.solved, self.mistakes | other.mistakes)


def written(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """The code for what was kept of each exercise: "attempts" (a number), "solved" and "mistakes" (in words)."""
    marks = [kept.get(name, {"attempts": 0, "solved": False}) for name in exercises()]
    met = {words for one in kept.values() for words in one["mistakes"]}
    tried = _joined((min(mark["attempts"], MOST) + 8 * mark["solved"] for mark in marks), 4)
    numbers = (number for number, words in enumerate(mistakes(), 1) if words in met)
    return codes.encode("progress", {"exercises": tried, "mistakes": _joined(numbers, BITS)})


def read(fields: Mapping[str, int]) -> Attempts:
    """What the numbers of a decoded code say. Raises ``ValueError`` where they go beyond the lists of this version."""
    marks, numbers = _parted(fields["exercises"], 4), _parted(fields["mistakes"], BITS)
    names, words = exercises(), mistakes()
    if len(marks) > len(names) or max(numbers, default=0) > len(words):
        raise ValueError("it names exercises or mistakes that this version of kdkit does not know: take the newest.")
    tried = {name: mark % 8 for name, mark in zip(names, marks, strict=False) if mark}
    solved = {name for name, mark in zip(names, marks, strict=False) if mark >= 8}
    return Attempts(tried, solved, {words[number - 1] for number in numbers if number})


def _joined(numbers: Iterable[int], bits: int) -> int:
    return sum(number << bits * place for place, number in enumerate(numbers))


def _parted(whole: int, bits: int) -> list[int]:
    parts = []
    while whole:
        parts.append(whole % 2**bits)
        whole >>= bits
    return parts
