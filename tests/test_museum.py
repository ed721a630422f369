"""Each exhibit of the bug museum, as it stands in notebook 03b: its check knows the broken one from the fixed one.

That the symptoms are there and go, is for ``tests/slow/test_symptoms.py``: some are trainings.
"""

import ast
import difflib
import json
import linecache

import pytest

from kdkit.course import bugs, check, exhibits
from kdkit.course.check.fixing import same_code
from kdkit.course.check.record import NOTEBOOKS
from kdkit.course.check.words import AS_FOUND
from tools.notebooks import ROOT, text
from tools.versions import exercises, solved_source

NOTEBOOK = json.loads((ROOT / "notebooks" / "03b_bug_museum.ipynb").read_text(encoding="utf-8"))
EXHIBITS = {
    text(stub["source"]).splitlines()[-1].split("(")[0].removeprefix("check.bugs."): (stub, solution)
    for stub, solution in exercises(NOTEBOOK)
    if "check.bugs." in text(stub["source"])
}


def functions(name):
    """(the function as found, the fixed one), from the notebook."""
    stub, solution = EXHIBITS[name]
    sources = {f"<{name} as found>": text(stub["source"]), f"<{name} fixed>": solved_source(solution)}
    return [_defined(source, name) for name, source in sources.items()]


def _defined(source, name):
    tree = ast.parse(source)
    namespace = {}
    exec("import torch\nimport torch.nn.functional as F\nfrom kdkit import losses", namespace)
    linecache.cache[name] = len(source), None, source.splitlines(True), name  # as a notebook's cells are
    exec(compile(ast.Module(tree.body[:-1], []), name, "exec"), namespace)
    return namespace[tree.body[0].name]


def test_there_are_eleven_exhibits_and_each_has_an_instrument_and_a_check():
    assert tuple(EXHIBITS) == NOTEBOOKS["03b The bug museum"] and len(EXHIBITS) == 11
    assert all(hasattr(bugs, name) and hasattr(check.bugs, name) for name in EXHIBITS)


@pytest.mark.parametrize("name", EXHIBITS)
def test_the_check_knows_the_broken_one_and_passes_the_fixed_one(name):
    broken, fixed = functions(name)
    assert repr(getattr(check.bugs, name)(broken)) == f"○ {AS_FOUND}"
    assert getattr(check.bugs, name)(fixed).passed is True
    kept = getattr(exhibits, broken.__name__)
    assert same_code(broken, kept) and not same_code(fixed, kept)


def test_the_same_code_is_known_whatever_its_comments_and_another_one_is_not():
    def found(x):
        """A docstring."""
        return [y + 1 for y in x]  # a comment

    def copied(x):
        return [y + 1 for y in x]

    assert same_code(found, copied) and not same_code(found, lambda x: [y + 2 for y in x])
    assert not same_code(found, len) and not same_code(exhibits.Distiller, found)


@pytest.mark.parametrize("name", EXHIBITS)
def test_the_bug_is_a_matter_of_a_few_lines(name):
    stub, solution = EXHIBITS[name]
    lines = [text(stub["source"]).splitlines(), solved_source(solution).splitlines()]
    changed = [line for line in difflib.ndiff(*lines) if line[:2] in ("+ ", "- ")]
    assert 1 <= sum(line[0] == "+" for line in changed) <= 5 and "..." not in text(stub["source"])
