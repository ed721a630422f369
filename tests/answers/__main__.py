"""A table of each exercise's wrong answers and of what the check says to them."""

import inspect
import re

from tests.answers import EXERCISES, check_of


def in_a_line(function):
    """The answer's source, as far as it fits into a table."""
    source = " ".join(inspect.getsource(function).split()) if inspect.isfunction(function) else function.__name__
    return re.sub(r"^.*?(?=lambda|def )", "", source)[:110].replace("|", "\\|")


for name, (right, wrong) in EXERCISES.items():
    print(f"\n### {name}: {len(right)} right answers pass, {len(wrong)} wrong ones do not\n")
    print("| answer | message |\n|---|---|")
    for answer in wrong.values():
        print(f"| `{in_a_line(answer)}` | {check_of(name)(answer).message} |")
