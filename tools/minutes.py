"""How many minutes each notebook takes a real reader, on its short path and with all parts marked ◆.

    python -m tools.minutes           print what they hold and how long that takes
    python -m tools.minutes --write   write it into the notebooks' openings and the README's table of the course

Words of prose / 130 a minute + 4 s a line of code + 5 minutes an exercise + 1 minute a guess, a slider, a figure or a
table + the measured computing. An exercise's 5 minutes include its hints and its solution, so what these hold is not
counted; the folded answers of a quiz are read, and count. A guess is a question whose answer the reader enters or
writes down, a slider is a panel of widgets that is shown, and a table has at least four lines. What the computing takes
is noted when a notebook is run (``note_seconds``).

Without the minute for each figure and table the formula stood 12 to 30 % under what two first readers of each short
path estimated; with it, it is within 15 % of their mean (teaching/README.md has both).
"""

import argparse
import json
import math
import os
import re
import sys
from datetime import datetime
from typing import NamedTuple

from tools.cells import code_cells, divided, has_depth, has_tag, is_checked, short_path, text
from tools.links import ROOT

CORES = 2
TABLE_LINES = 4
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
TIME = re.compile(r"(?<=\*\*Time\*\*: ).*?\.(?=\s|\Z)", re.DOTALL)
FORM = "about {} minutes{}, of these {} to compute on two CPU cores."
WITH_DEPTH = " for the short path, {} with all parts marked ◆"
SAID = re.compile(FORM.format(r"(\d+)", f"(?:{WITH_DEPTH})?", r"(\d+)").replace("{}", r"(\d+)"))
README_CELL = r"(\(notebooks/{}\) \|[^|]*\|)[^|]*(?=\|)"


class Load(NamedTuple):
    """What a notebook holds for its reader."""

    words: int
    lines: int
    exercises: int
    guesses: int  # and sliders
    shown: int  # figures and tables
    seconds: int

    @property
    def minutes(self):
        return self.work + self.shown

    @property
    def work(self):
        """The minutes without looking at figures and tables."""
        return self.words / 130 + self.lines * 4 / 60 + 5 * self.exercises + self.guesses + self.seconds / 60


def load(notebook):
    """The ``Load`` of all that stands in a notebook."""
    prose = [text(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    code = [cell for _, cell in code_cells(notebook) if not has_tag(cell, "solution")]
    lines = [line for cell in code for line in text(cell["source"]).splitlines() if line.strip()]
    return Load(
        words=sum(map(words, prose)),
        lines=len(lines),
        exercises=sum(map(is_checked, code)),
        guesses=guesses(notebook["cells"]) + sliders("\n".join(lines)),
        shown=sum(shown(output) for cell in code for output in cell.get("outputs", ())),
        seconds=sum(seconds(notebook).values()),
    )


def words(prose):
    """How many words of a text are read: not those of hints, of pictures' alt texts and of addresses."""
    prose = re.sub(r"<details><summary>Hint.*?</details>|<[^>]+>|!\[[^\]]*\]\([^)]*\)", " ", prose, flags=re.DOTALL)
    prose = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", prose)
    return sum(bool(re.search(r"\w", word)) for word in prose.split())


def guesses(cells):
    """Cells with dots in which an answer is entered, and questions "Write it down" that no such cell follows."""
    asked, count = False, 0
    for cell in cells:
        source = text(cell["source"])
        if cell["cell_type"] == "markdown":
            asked = asked or bool(re.search(r"\bWrite (it|both|them) down", source))
        else:
            entered = bool(re.search(r"^[\w, ]+ = \.\.\.", source, re.MULTILINE))
            asked, count = False, count + (asked or entered)
    return count + asked


def sliders(code):
    """How many panels are made, of those classes that the code imports from kdkit's widgets."""
    imported = re.findall(r"from kdkit\.course\.widgets import (\([^)]*\)|.*)", code)
    return sum(len(re.findall(rf"\b{name}\(", code)) for line in imported for name in re.findall(r"\w+", line))


def shown(output):
    """How many figures and tables an output holds; a panel is none, it counts as a slider."""
    data = output.get("data", {})
    if WIDGET_VIEW in data:
        return 0
    page, plain = text(data.get("text/html", "")), text(output.get("text", data.get("text/plain", "")))
    figures = page.count("<img")
    return figures or int("<table" in page or (not page and len(plain.splitlines()) >= TABLE_LINES))


# ------------------------------------------------------------------------------------- measured computing


def seconds(notebook):
    """What its code took when it was run: a dict with "short" and, where it has a depth, "depth"."""
    return notebook["metadata"].get("kdkit", {}).get("seconds", {})


def note_seconds(notebook):
    """Keep in the metadata how long a notebook took that has just been run, its cells' times still in them.

    A figure that is there stays while it is right within 30 %, so that a second run writes the same file; and on a
    machine with another number of cores, since it is for two. Run the notebooks while nothing else runs.
    """
    kept = seconds(notebook)
    if kept and os.cpu_count() != CORES:
        return
    taken = {"short": 0.0} | ({"depth": 0.0} if has_depth(notebook) else {})
    for cell, short in divided(notebook):
        taken["depth" if short is None else "short"] += _taken(cell)
    noted = {
        part: kept[part] if _still_right(kept.get(part), new) else 10 * math.ceil(new / 10)
        for part, new in taken.items()
    }
    notebook["metadata"].setdefault("kdkit", {})["seconds"] = {part: int(value) for part, value in noted.items()}


def _taken(cell):
    """Seconds from the kernel's start on a cell to its end, as nbclient has noted them."""
    if cell["cell_type"] != "code" or not text(cell["source"]).strip():
        return 0.0
    times = cell["metadata"]["execution"]
    began, ended = (datetime.fromisoformat(times[f"iopub.status.{state}"]) for state in ("busy", "idle"))
    return (ended - began).total_seconds()


def _still_right(old, new):
    return old is not None and abs(new - old) <= 0.3 * old


# --------------------------------------------------------------------------------------------- the sentence


def depths(notebook):
    """The notebooks that a reader may take this one for: [short path, all], or [all] where nothing is marked ◆."""
    return [short_path(notebook), notebook] if has_depth(notebook) else [notebook]


def figures(notebook):
    """[minutes of the short path, minutes of all, of these to compute], without the first where nothing is marked."""
    loads = list(map(load, depths(notebook)))
    return [*(each.minutes for each in loads), math.ceil(loads[-1].seconds / 60)]


def rounded(minutes):
    return 5 * round(minutes / 5) if minutes > 20 else round(minutes)


def sentence(notebook):
    """With one number where both depths take as long, rounded."""
    *read, computing = map(rounded, figures(notebook))
    return FORM.format(read[0], WITH_DEPTH.format(read[-1]) if read[-1] != read[0] else "", computing)


def with_sentence(notebook):
    """Rewrite the sentence after "**Time**:" in the opening; changes and returns ``notebook``."""
    notebook["cells"][0]["source"] = TIME.sub(sentence(notebook), text(notebook["cells"][0]["source"]))
    return notebook


def said(notebook):
    """The figures of the sentence in the opening, in ``figures``' order; an empty list where there is none."""
    told = TIME.search(text(notebook["cells"][0]["source"]))
    found = told and SAID.fullmatch(told[0])
    return [int(figure) for figure in found.groups() if figure] if found else []


def lies(notebook):
    """What is wrong with the sentence in the opening, by more than 20 %: a list of sentences."""
    told, true = said(notebook), figures(notebook)
    if len(told) == 2 < len(true):  # one number for both depths
        told = [told[0], *told]
    if len(told) != len(true):
        return [f'its opening does not say "**Time**: {sentence(notebook)}"']
    wrong = [f"{a} minutes for {b:.1f}" for a, b in zip(told, true, strict=True) if abs(a - b) > 0.2 * b]
    return [f"its opening says {' and '.join(wrong)}: python -m tools.minutes --write"] if wrong else []


def with_minutes(readme, notebooks):
    """The README's text with the minutes that the openings state in its table: ``notebooks`` maps names to them."""
    for name, notebook in notebooks.items():
        *read, _ = said(notebook) or [None]
        cell = " ".join([*map(str, read[:1]), *(f"({minutes})" for minutes in read[1:])])
        readme = re.sub(README_CELL.format(re.escape(name)), rf"\g<1> {cell} ", readme)
    return readme


def table(notebooks):
    """What the notebooks hold and the minutes that it takes, a line each."""
    columns = "{:26}{:>7}{:>7}{:>11}{:>21}{:>7}{:>11}{:>7}{:>6}".format
    counted = "words", "lines", "exercises", "guesses and sliders", "shown", "computing"
    yield columns("notebook", *counted, "short", "all")
    for name, notebook in notebooks.items():
        loads = list(map(load, depths(notebook)))
        first, last = (f"{each.minutes:.0f}" for each in (loads[0], loads[-1]))
        yield columns(name.removesuffix(".ipynb"), *loads[-1][:5], f"{loads[-1].seconds} s", first, last)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into the notebooks' openings and the README")
    options = parser.parse_args(arguments)
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    notebooks = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    if options.write:
        for path in paths:
            write(with_sentence(notebooks[path.name]), path)
        readme = ROOT / "README.md"
        readme.write_text(with_minutes(readme.read_text(encoding="utf-8"), notebooks), encoding="utf-8")
    print("\n".join(table(notebooks)))
    broken = [f"{name}: {lie}" for name, notebook in notebooks.items() for lie in lies(notebook)]
    print("\n".join(broken) or "every opening says so")
    return bool(broken)


def write(notebook, path):
    """As nbformat writes it, a text's lines in a list."""
    first = notebook["cells"][0]
    first["source"] = text(first["source"]).splitlines(keepends=True)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
