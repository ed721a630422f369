"""Both builds of the whole course, run: the students' with every stub untouched, and the solved one.

They run as for a reader without CIFAR-10; the notebooks themselves are tested with the data where it is there.
"""

import os
import subprocess
import sys

import nbformat

from tools import versions
from tools.notebooks import ROOT

WITHOUT_DATA = {name: value for name, value in os.environ.items() if name != "KDKIT_DATA"}


def run(command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=WITHOUT_DATA)


def test_the_students_copies_run_from_top_to_bottom_with_every_stub_untouched(tmp_path):
    assert versions.main(["student", "--to", str(tmp_path)]) == 0
    copies = sorted(map(str, tmp_path.glob("*.ipynb")))
    flags = ["-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", "-c", str(ROOT / "pyproject.toml")]
    result = run([sys.executable, "-m", "pytest", *flags, *copies])
    assert result.returncode == 0, result.stdout[-3000:]
    cells = sum(cell["cell_type"] == "code" for copy in copies for cell in nbformat.read(copy, as_version=4)["cells"])
    assert f"{cells} passed" in result.stdout
    assert not list(tmp_path.glob("*progress*"))  # an untouched stub is no attempt


def test_every_check_passes_in_the_solved_copies(tmp_path):
    result = run([sys.executable, "-m", "tools.versions", "solutions", "--to", tmp_path])
    assert result.returncode == 0, result.stdout + result.stderr
    said = [
        verdict
        for path in sorted(tmp_path.glob("*.ipynb"))
        for verdict in versions.verdicts(nbformat.read(path, as_version=4))
    ]
    assert len(said) == 25 and all(verdict.startswith("✓") for verdict in said)
