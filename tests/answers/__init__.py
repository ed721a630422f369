"""What readers hand in: for each exercise, right answers in several ways, and wrong ones with the words that must name
the mistake. ``python -m tests.answers`` prints the table of wrong answers and messages.
"""

from kdkit.course import check

from . import failures, fair, features, loss, museum, own, probabilities, sequences, shape, triple

EXERCISES = {}
for part in probabilities, loss, museum, fair, shape, triple, features, failures, sequences, own:
    EXERCISES |= part.EXERCISES


def check_of(name):
    """The check of an exercise, in ``check`` or in ``check.bugs``; of a memo, that about ``RESULT``."""
    if name == "memo":
        return own.check_memo
    return getattr(check, name, None) or getattr(check.bugs, name)
