"""The solved copies of the whole course: what a solution can reach is run, with it in the place of its stub.

What no solution reaches is the same in the notebooks themselves, and they are run from top to bottom.
"""

import subprocess
import sys

import nbformat

from kdkit.course.check import record
from tools import versions
from tools.notebooks import ROOT

RUN = "import sys, pathlib, tools.notebooks as n; [n.run(pathlib.Path(path)) for path in sys.argv[1:]]"


def test_every_check_passes_in_the_solved_copies(tmp_path):
    copies = [tmp_path / path.name for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    for copy in copies:
        solved = versions.with_solutions(nbformat.read(ROOT / "notebooks" / copy.name, as_version=4))
        nbformat.write(versions.without_what_no_solution_reaches(solved), copy)
    result = subprocess.run([sys.executable, "-c", RUN, *copies], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    said = [verdict for copy in copies for verdict in versions.verdicts(nbformat.read(copy, as_version=4))]
    exercises = sum(map(len, record.NOTEBOOKS.values()))
    assert len(said) == exercises and all(verdict.startswith("✓") for verdict in said), said
