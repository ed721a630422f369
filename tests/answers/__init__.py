"""What readers hand in: for each exercise, right answers in several ways, and wrong ones with the words that must name
the mistake. ``python -m tests.answers`` prints the table of wrong answers and messages.
"""

from kdkit.course import check

from . import failures, fair, features, loss, museum, probabilities, sequences, shape, triple

EXERCISES = {}
for part in probabilities, loss, museum, fair, shape, triple, features, failures, sequences:
    EXERCISES |= part.EXERCISES


def check_of(name):
    """The check of an exercise, whether it stands in ``check`` or in ``check.bugs``."""
    return getattr(check, name, None) or getattr(check.bugs, name)
