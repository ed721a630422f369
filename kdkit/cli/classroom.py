"""``python -m kdkit class``: what a class has solved, and whose machine is not ready, from the codes that they send."""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kdkit.cli import workshop
from kdkit.cli.options import Commands, add_command

if TYPE_CHECKING:
    from kdkit.course.numbered import Attempts

STUCK = 3  # attempts at an exercise without solving it
HELP = "a text file, one line for each participant; of several codes on a line, separated by commas, all are one's own"


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(
        commands, "class", run, "what a class has solved, and where it is stuck, from participants' codes"
    )
    parser.add_argument("codes", metavar="CODES.txt", help=HELP)


def run(options: argparse.Namespace) -> int:
    """Make tables of what participants' codes say: exercises, mistakes, who is stuck; and whose machine is not ready.

    Each participant sends you the code in the last line of check.progress(), in a notebook, or of doctor --workshop,
    before a workshop. No name is in a code, nor in a table: a participant is the number of a line. On Colab each
    notebook has a code of its own: put those of one participant on one line, separated by commas. Raises ``ValueError``
    for a file without a line.
    """
    people, machines, faults = sorted_out(Path(options.codes).read_text("utf-8-sig", errors="replace").splitlines())
    if people:
        print(*exercise_table(people), "", *mistake_table(people), "", *participant_table(people), sep="\n")
    if machines:
        print("\n" * bool(people) + "\n".join(machine_table(machines)))
    for line, fault in faults:
        print(f"left out in line {line}: {fault}", file=sys.stderr)
    if not people and not machines and not faults:
        raise ValueError(f"{options.codes} is empty; a line with a code for each participant was expected.")
    return 1 if faults else 0


def sorted_out(lines: Iterable[str]) -> tuple[dict[int, Attempts], dict[int, dict[str, int]], list[tuple[int, str]]]:
    """By the number of the line: what its participant has done, the numbers of the machine's check, what is wrong."""
    from kdkit.course import codes, numbered

    people: dict[int, Attempts] = {}
    machines: dict[int, dict[str, int]] = {}
    faults = []
    for number, line in enumerate(lines, 1):
        for text in filter(str.strip, re.split("[,;]", line)):
            try:
                kind, fields = codes.decode(text)
                if kind == "workshop":
                    machines[number] = fields
                else:
                    done = numbered.read(fields)
                    people[number] = people[number] | done if number in people else done
            except ValueError as error:
                faults.append((number, str(error)))
    return people, machines, faults


def stuck(done: Attempts) -> list[str]:
    """The exercises that a participant has tried ``STUCK`` times or more and not solved."""
    return [name for name, attempts in done.tried.items() if attempts >= STUCK and name not in done.solved]


def exercise_table(people: Mapping[int, Attempts]) -> Iterator[str]:
    """Lines: of each exercise that somebody has tried, how many did and solved it, and who is stuck at it."""
    from kdkit.course import numbered

    tried = [name for name in numbered.exercises() if any(name in done.tried for done in people.values())]
    width = max([len("exercise"), *map(len, tried)])
    count = len(people)
    who = f"{count} participants, known by their lines" if count > 1 else "1 participant"
    yield f"{who}. Attempts: the mean of those who tried; {numbered.MOST} stands for more, too."
    yield ""
    yield f"{'exercise':{width}}  solved   tried  attempts  stuck after {STUCK} attempts or more"
    for name in tried:
        attempts = [done.tried[name] for done in people.values() if name in done.tried]
        solved = sum(name in done.solved for done in people.values())
        who = ", ".join(str(number) for number, done in people.items() if name in stuck(done))
        yield f"{name:{width}}  {solved:6}  {len(attempts):6}  {statistics.mean(attempts):8.1f}  {who}".rstrip()


def mistake_table(people: Mapping[int, Attempts]) -> Iterator[str]:
    """Lines: the mistakes that checks named, most frequent first, with the number of participants who met them."""
    met = Counter(words for done in people.values() for words in done.mistakes)
    yield "met by  mistake, as its check begins to name it"
    for words, count in sorted(met.items(), key=lambda item: (-item[1], item[0])):
        yield f"{count:6}  {words}"


def participant_table(people: Mapping[int, Attempts]) -> Iterator[str]:
    """Lines: of each participant how many exercises were solved and tried, and where they are stuck."""
    yield "line  solved   tried  stuck at"
    for number, done in people.items():
        yield f"{number:4}  {len(done.solved):6}  {len(done.tried):6}  {', '.join(stuck(done))}".rstrip()


def machine_table(machines: Mapping[int, Mapping[str, int]]) -> Iterator[str]:
    """Lines: how many machines are ready for a workshop; of each other one what needs attention, and what it is."""
    said = {number: workshop.row(fields) for number, fields in machines.items()}
    waiting = {number: row for number, row in said.items() if machines[number]["failed"]}
    yield f"{len(said) - len(waiting)} of {len(said)} machines are ready for a workshop."
    if waiting:
        yield ""
        yield "line  needs attention"
    for number, row in waiting.items():
        about = ", ".join(f"{name} {value}" for name, value in row.items() if name not in ("needs attention", "system"))
        yield f"{number:4}  {row['needs attention']} ({row['system']}, {about})"
