"""The root conftest.py: in CI a skipped test fails, by name, unless it lacked a GPU or a foreign library.

And notebooks run after unit tests.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tools.links import ROOT

SKIPS = """
import pytest

def test_inside():
    pytest.skip("no data here")

@pytest.mark.skip(reason="not today")
def test_mark():
    pass

@pytest.mark.skipif(True, reason="needs a GPU")
def test_gpu():
    pass

def test_library():
    pytest.importorskip("no_such_library", reason="No Such Library is no dependency of the kit: pip install it")

def test_real_data():
    pytest.skip("real MNIST not found: set KDKIT_DATA")

@pytest.mark.xfail(strict=True)
def test_known_to_fail():
    assert False

def test_good():
    pass
"""


def notebook(*sources):
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    cells = [cell | {"id": f"cell-{n}", "source": source} for n, source in enumerate(sources)]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A small project of all kinds of tests, with this one's conftest.py and settings."""
    folder = tmp_path_factory.mktemp("suite")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "browser").mkdir()
    (folder / "browser" / "test_page.py").write_text("def test_page():\n    pass")
    (folder / "book.ipynb").write_text(notebook("1", "# NBVAL_SKIP\n2"))
    (folder / "test_unit.py").write_text(SKIPS)
    (folder / "test_whole.py").write_text("import pytest\npytest.importorskip('no_such_module')")
    return folder


def said_by(suite, **environment):
    """(exit code, output) of pytest over the suite."""
    flags = ["-p", "no:cacheprovider", "-v", "--color=no", "--continue-on-collection-errors", "."]
    environment |= {name: value for name, value in os.environ.items() if name not in ("CI", "KDKIT_REQUIRE_DATA")}
    command = [sys.executable, "-m", "pytest", *flags]
    result = subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True)
    return result.returncode, result.stdout


@pytest.fixture(scope="module")
def in_ci(suite):
    return said_by(suite, CI="true", KDKIT_REQUIRE_DATA="1")


def test_skips_fail_in_ci_and_a_missing_gpu_or_foreign_library_does_not(in_ci):
    code, said = in_ci
    assert code == 1 and "3 failed, 3 passed, 2 skipped, 1 xfailed, 2 errors" in said.splitlines()[-1]


@pytest.mark.parametrize(
    "where, reason",
    [
        ("test_unit.py::test_inside", "Skipped: no data here"),
        ("test_unit.py::test_mark", "Skipped: not today"),
        ("test_unit.py::test_real_data", "Skipped: real MNIST not found"),
        ("test_whole.py", "Skipped: could not import 'no_such_module'"),
        ("book.ipynb::Cell 1", "Skipped"),
    ],
)
def test_each_skip_is_named_with_its_reason(in_ci, where, reason):
    summary = in_ci[1][in_ci[1].index("short test summary") :]
    assert f"{where} was skipped in CI ({reason}" in summary


def test_where_ci_brought_no_data_its_tests_may_skip(suite):
    assert "2 failed, 3 passed, 3 skipped, 1 xfailed, 2 errors" in said_by(suite, CI="true")[1].splitlines()[-1]


def test_the_same_skips_pass_on_a_persons_machine(suite):
    code, said = said_by(suite)
    assert code == 0 and "3 passed, 7 skipped, 1 xfailed" in said.splitlines()[-1]


def test_unit_tests_come_first_then_notebooks_then_the_browser_and_each_gets_its_seconds(in_ci):
    said = in_ci[1]
    order = ["test_unit.py::test_inside", "test_unit.py::test_good", "Cell 0", "Cell 1", "test_page.py::test_page"]
    assert sorted(order, key=said.index) == order
    summary = said[said.index("seconds by notebook") :]
    names = ["s  unit tests", "s  book.ipynb", "s  browser tests"]
    assert sorted(names, key=summary.index) == names
