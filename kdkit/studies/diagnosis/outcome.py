"""What a check answers."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """A ``figure``, what it says in a ``sentence``; where something is wrong, what to do about it, ``advice``, and
    where the course shows it, ``see``.
    """

    figure: str
    sentence: str
    advice: str = ""
    see: str = ""

    @property
    def wrong(self) -> bool:
        """Whether this check raises its hand."""
        return bool(self.advice)
