"""Make two versions of the course: one to hand out, without solutions, and one that is solved.

    python -m tools.versions student|solutions [--depth all|short] [--to FOLDER] [FILE ...]

Without files: all of ``notebooks/``, which hold stub, hints and solution. The students' copies have no solutions and
no outputs, and no cell of them may depend on a solution; their Colab badges lead to such copies, too. In the solved
ones each solution stands in the place of its stub; they are run, and each check must pass. ``--depth short`` leaves out
what is marked ◆, for a workshop.
"""

import argparse
import re
import sys
import tempfile
import textwrap
from pathlib import Path

import nbformat

from tools.cells import code_cells, divided, has_tag, is_checked, short_path, text
from tools.dataflow import needed_for, reached_from, taken_from
from tools.links import BADGE, COPIES, repository
from tools.minutes import with_sentence
from tools.notebooks import ROOT, clean, executed, failure, portable

OPEN_IN_COLAB = re.compile(r"\[!\[Open in Colab\].*")  # leads to the notebook with its solutions
PROGRESS = re.compile(r"^check\.progress\(\).*", re.MULTILINE)  # with its comment


def without_solutions(notebook, place):
    """Take out solutions and outputs, and let the badge lead to ``place``, in the branch of such copies, on Colab.

    Changes and returns ``notebook``.
    """
    notebook["cells"] = [cell for cell in notebook["cells"] if not has_tag(cell, "solution")]
    notebook["metadata"].pop("kdkit", None)  # what has drawn the pictures: there are none
    badge = BADGE.format(repository=repository(), ref=COPIES, path=place)
    notebook["cells"][0]["source"] = OPEN_IN_COLAB.sub(badge, text(notebook["cells"][0]["source"]))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return notebook


def taken_from_solutions(notebook):
    """(number of the cell, name) for what a cell takes from a solution above it: the students' copies lack that."""
    return _taken(notebook, lambda cell, short: has_tag(cell, "solution"))


def taken_from_depth(notebook):
    """(number of the cell, name) for what a cell of the short path takes from the depth above it."""
    return _taken(notebook, lambda cell, short: short is None)


def _taken(notebook, is_left_out):
    code = [(cell, short) for cell, short in divided(notebook) if cell["cell_type"] == "code"]
    origins = {number for number, pair in enumerate(code) if is_left_out(*pair)}
    return list(taken_from(origins, [text(cell["source"]) for cell, _ in code]))


def exercises(notebook):
    """(stub, solution) of each exercise: the cell with the hole or the bug, and the next one that solves it."""
    pairs, stub = [], None
    for cell in notebook["cells"]:
        if has_tag(cell, "exercise"):
            stub = cell
        elif has_tag(cell, "solution"):
            pairs.append((stub, cell))
            stub = None
    return pairs


def solved_source(solution):
    """The solution's code under the names that the stub had: ``kd_loss_solution`` becomes ``kd_loss``."""
    return re.sub(r"_solution\b", "", text(solution["source"])).removesuffix(".passed")


def with_solutions(notebook):
    """Put each solution in the place of its stub; changes and returns ``notebook``."""
    for stub, solution in exercises(notebook):
        stub["source"] = solved_source(solution)
    notebook["cells"] = [cell for cell in notebook["cells"] if not has_tag(cell, "solution")]
    return notebook


def without_what_no_solution_reaches(notebook):
    """Keep the exercises of a solved copy, the cells that these can reach, and what all of them depend on."""
    cells = [cell for _, cell in code_cells(notebook)]
    sources = [text(cell["source"]) for cell in cells]
    reached = reached_from({number for number, cell in enumerate(cells) if is_checked(cell)}, sources)
    notebook["cells"] = [cells[number] for number in sorted(needed_for(reached, sources))]
    return notebook


def verdicts(notebook):
    """What each check of an exercise said, in a notebook that was run."""
    for cell in notebook["cells"]:
        if is_checked(cell):
            yield "".join(text(output.get("data", {}).get("text/plain", "")) for output in cell["outputs"])


def short_exercises():
    """The names of the exercises that the short paths of the course's notebooks have, in their order."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in short_path(nbformat.read(path, as_version=4))["cells"]:
            if cell["cell_type"] == "code" and is_checked(cell):
                yield re.search(r"^check\.(?:bugs\.)?(?!guess)(\w+)", text(cell["source"]), re.MULTILINE)[1]


def with_progress_of(notebook, names):
    """Let the table of the reader's progress show the exercises ``names`` alone; changes and returns ``notebook``."""
    listed = textwrap.fill(
        ", ".join(f'"{name}"' for name in names), 110, initial_indent=" " * 4, subsequent_indent=" " * 4
    )
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] = PROGRESS.sub(f"check.progress(\n{listed}\n)", text(cell["source"]))
    return notebook


def short_copy(notebook):
    """The short path as a notebook of its own: what it says of its time and of the exercises is true of it."""
    return with_progress_of(with_sentence(short_path(notebook)), short_exercises())


def lacking_depth(notebook, name):
    """What the short path would miss of the depth, in a list of sentences."""
    return [
        f"{name}: cell {number} takes {taken} from a part marked ◆, which the short path does not have"
        for number, taken in taken_from_depth(notebook)
    ]


def build_student(notebook, name, folder, depth):
    """Write the students' copy, unless a cell of it would miss a solution; what is wrong, in a list."""
    broken = [
        f"{name}: cell {number} takes {taken} from a solution, which the students do not have"
        for number, taken in taken_from_solutions(notebook)
    ]
    if not broken:
        write(without_solutions(notebook, f"{depth}/{name}"), folder / name)
    return broken


def build_solutions(notebook, name, folder, depth):
    """Run the solved copy, where its progress file disturbs nobody; write it unless a check refuses a solution."""
    refused = []

    def run(copy):
        notebook = executed(copy)
        refused.extend(f"{name}: {said}" for said in verdicts(notebook) if not said.startswith("✓"))
        if not refused:
            write(clean(notebook), folder / name)

    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / name
        nbformat.write(with_solutions(notebook), copy)
        return failure(copy, run) or refused


def write(notebook, path):
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = portable(text(cell["source"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


BUILDS = {"student": build_student, "solutions": build_solutions}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", choices=BUILDS)
    parser.add_argument("--depth", choices=["all", "short"], default="all", help="short: without what is marked ◆")
    parser.add_argument("--to", type=Path, help="default: build/student, build/student-short …", metavar="FOLDER")
    parser.add_argument("files", nargs="*", type=Path, help="default: all of notebooks/")
    options = parser.parse_intermixed_args(arguments)  # FILE may come after --to
    build = BUILDS[options.version]
    short, broken = options.depth == "short", []
    folder = options.to or ROOT / "build" / (options.version + "-short" * short)
    for path in options.files or sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        lacking = lacking_depth(notebook, path.name) if short else []
        broken += lacking or build(short_copy(notebook) if short else notebook, path.name, folder, options.depth)
    print("\n".join(broken) or f"the notebooks lie in {folder}")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
