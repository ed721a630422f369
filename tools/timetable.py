"""Hold the lecturers' timetables against the notebooks: sections that are there, minutes that join and are enough.

    python -m tools.timetable [FILE ...]    print each line's minutes and those of what it names; default: teaching/

A timetable is a table in Markdown, | minutes | notebook | what | who |. *What* names sections of the notebook's short
path in italics, or "opening", or "the short path". ``from "words"`` and ``to "words"`` take the part of a section
between the paragraphs that begin so. A line of "all" is to leave a reader the minutes of tools/minutes.py's formula.
"""

import argparse
import copy
import itertools
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

from tools import minutes
from tools.cells import short_path, text
from tools.links import ROOT

PLANS = ("90-minutes.md", "half-day.md", "four-weeks.md")
ROW = re.compile(r"^\| (\d+)-(\d+) \| ([^|]*?) ?\| (.*) \| (\w*) ?\|$", re.MULTILINE)
PART = re.compile(r'(?<!\*)\*(?P<section>[^*]+)\*(?!\*)(?:, from "(?P<first>[^"]+)")?(?:,? to "(?P<last>[^"]+)")?')
OPENING, WHOLE = "opening", "the short path"
TIGHT = 0.85  # of the formula's minutes: first readers' estimates differ by more


class Line(NamedTuple):
    """A line of a timetable: from minute ``start`` to ``end``; ``notebook`` is its number, such as "03b", or empty."""

    start: int
    end: int
    notebook: str
    what: str
    who: str


def tables(page):
    """The timetables of a page in Markdown, each a list of ``Line``."""
    found = []
    for start, end, notebook, what, who in ROW.findall(page):
        if start == "0":
            found.append([])
        found[-1].append(Line(int(start), int(end), notebook if re.match(r"\d\d", notebook) else "", what, who))
    return found


def short(number):
    """The short path of the notebook with that number."""
    [path] = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    return short_path(json.loads(path.read_text(encoding="utf-8")))


def sections(notebook):
    """A dict of the notebook's sections: heading to cells, "opening" first. Texts are cut into their paragraphs."""
    found = {OPENING: []}
    for cell in notebook["cells"]:
        prose = cell["cell_type"] == "markdown"
        for part in re.split(r"\n\s*\n", text(cell["source"])) if prose else [cell["source"]]:
            if prose and part.startswith("## "):
                found[part.splitlines()[0][3:]] = []
            found[list(found)[-1]].append({**cell, "source": part})
    return found


def between(cells, first, last):
    """The cells from the paragraph that begins with ``first`` to before that with ``last``; None: no bound."""
    places = [0 if first is None else _place(cells, first), len(cells) if last is None else _place(cells, last)]
    return cells[slice(*places)]


def _place(cells, words):
    for place, cell in enumerate(cells):
        if text(cell["source"]).lstrip("#*0123456789. ").startswith(words):
            return place
    raise ValueError(f"no paragraph begins with {words!r}")


def named(line):
    """The cells that a line names, of its notebook's short path; ``ValueError`` where one is not there."""
    notebook = short(line.notebook)
    there, parts = sections(notebook), [found.groupdict() for found in PART.finditer(line.what)]
    if OPENING in line.what:
        parts.insert(0, {"section": OPENING, "first": None, "last": None})
    missing = [part["section"] for part in parts if part["section"] not in there]
    if missing or not parts:
        raise ValueError(f"{line.notebook} has no section {missing or line.what!r}; it has: {', '.join(there)}")
    return [cell for part in parts for cell in between(there[part["section"]], part["first"], part["last"])]


def needed(line):
    """Minutes of what a line names, by the formula; computing counts for a whole short path alone."""
    if line.what == WHOLE:
        return minutes.load(short(line.notebook)).minutes
    return minutes.load({"cells": copy.deepcopy(named(line)), "metadata": {}}).minutes


def wrong(table):
    """What is wrong with a timetable: a list of sentences."""
    found = [f"minute {a.end} is followed by {b.start}" for a, b in itertools.pairwise(table) if a.end != b.start]
    for line in table:
        if not line.notebook:
            continue
        try:
            wanted = needed(line)
        except ValueError as error:
            found.append(f"minutes {line.start}-{line.end}: {error}")
            continue
        if line.who == "all" and line.end - line.start < TIGHT * wanted - 0.5:
            found.append(f"minutes {line.start}-{line.end} are too few: {line.what} takes {wanted:.1f}")
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="default: those of teaching/")
    options = parser.parse_args(arguments)
    broken = []
    for path in options.files or [ROOT / "teaching" / name for name in PLANS]:
        for table in tables(path.read_text(encoding="utf-8")):
            print(f"\n{path.name}: {table[-1].end} minutes")
            broken += [f"{path.name}: {lie}" for lie in wrong(table)]
            for line in table:
                takes = f"{needed(line):5.1f}" if line.notebook and not wrong([line]) else "     "
                print(f"{line.start:4}-{line.end:<4}{takes}  {line.notebook:4}{line.who:4}{line.what}")
    print("\n".join(["", *broken]) if broken else "\neach line names sections that are there, and leaves time for them")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
