"""Both builds of the whole course, run: the students' with every stub untouched, and the solved one."""

import subprocess
import sys

import nbformat

from tools import versions
from tools.notebooks import ROOT


def test_the_students_copies_run_from_top_to_bottom_with_every_stub_untouched(tmp_path):
    assert versions.main(["student", "--to", str(tmp_path)]) == 0
    copies = sorted(map(str, tmp_path.glob("*.ipynb")))
    flags = ["-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", "-c", str(ROOT / "pyproject.toml")]
    result = subprocess.run([sys.executable, "-m", "pytest", *flags, *copies], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]
    cells = sum(cell["cell_type"] == "code" for copy in copies for cell in nbformat.read(copy, as_version=4)["cells"])
    assert f"{cells} passed" in result.stdout
    assert not list(tmp_path.glob("*progress*"))  # an untouched stub is no attempt


def test_every_check_passes_in_the_solved_copies(tmp_path):
    command = [sys.executable, "-m", "tools.versions", "solutions", "--to", tmp_path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    said = [
        verdict
        for path in sorted(tmp_path.glob("*.ipynb"))
        for verdict in versions.verdicts(nbformat.read(path, as_version=4))
    ]
    assert len(said) == 20 and all(verdict.startswith("✓") for verdict in said)
