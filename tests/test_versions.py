"""One source, two builds: stub, hints and solution stand in ``notebooks/``; a class gets the first two."""

import ast
import json
import re
import subprocess
import sys

import nbformat
import pytest
from test_repository import dead_links

from tools import links, minutes, versions
from tools.links import repository
from tools.notebooks import LANGUAGE, ROOT, text
from tools.versions import exercises, has_tag, is_checked, solved_source

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXERCISES = [
    pytest.param(path, number, id=f"{path.stem}-{number}")
    for path in PATHS
    for number in range(len(exercises(json.loads(path.read_text(encoding="utf-8")))))
]


def sources(path, number):
    stub, solution = exercises(json.loads(path.read_text(encoding="utf-8")))[number]
    return text(stub["source"]), solved_source(solution)


# ------------------------------------------------------------------- the stub is the solution with holes


def is_hole(node):
    """``...``, alone or as a statement of its own, or returned."""
    if isinstance(node, ast.Return | ast.Expr):
        node = node.value
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def with_holes(stub, solution):
    """Whether ``stub`` is ``solution``, but for ``...`` in place of an expression or of a run of statements."""
    if isinstance(stub, list):
        if not (isinstance(solution, list) and stub and isinstance(stub[0], ast.stmt)):
            return len(stub) == len(solution) and all(map(with_holes, stub, solution))
        head, *rest = stub
        skips = range(1, len(solution) + 1) if is_hole(head) else ()
        one = bool(solution) and with_holes(head, solution[0]) and _rest(rest, solution[1:])
        return one or any(_rest(rest, solution[skip:]) for skip in skips)
    if isinstance(stub, ast.AST):
        return (isinstance(stub, ast.expr) and is_hole(stub)) or (
            type(stub) is type(solution)
            and all(with_holes(getattr(stub, name), getattr(solution, name)) for name in stub._fields)
        )
    return stub == solution


def _rest(stub, solution):
    return with_holes(stub, solution) if stub else not solution


def is_solution_with_holes(stub, solution):
    return with_holes(ast.parse(stub).body, ast.parse(solution).body)


@pytest.mark.parametrize(("path", "number"), EXERCISES)
def test_each_stub_is_its_solution_with_holes_or_with_a_bug(path, number):
    stub, solution = sources(path, number)
    if "check.bugs." in stub:  # tests/test_museum.py holds those
        assert stub.splitlines()[-1] == solution.splitlines()[-1]
    else:
        assert is_solution_with_holes(stub, solution) and not is_solution_with_holes(solution, stub)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_module_that_a_stub_a_hint_or_a_solution_names_is_imported(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    hints = re.findall(r"<summary>Hint.*?</details>", "".join(text(cell["source"]) for cell in cells), re.DOTALL)
    suggested = [*hints, *(text(cell["source"]) for pair in exercises({"cells": cells}) for cell in pair)]
    named = {name for part in suggested for name in re.findall(r"\b(torch|F|math|np|losses)\.", part)}
    ran = [text(cell["source"]) for cell in cells if cell["cell_type"] == "code" and not has_tag(cell, "solution")]
    lines = [line for source in ran for line in source.splitlines() if re.match(r"\s*(import|from) ", line)]
    assert {name for name in named if not any(re.search(rf"\b{name}$|\b{name},", line) for line in lines)} == set()


@pytest.mark.parametrize(
    ("stub", "solution", "fits"),
    [
        ("def f(x):\n    return ...", "def f(x):\n    y = x\n    return y", True),
        ("def f(x):\n    y = ...\n    return y", "def f(x):\n    y = x + 1\n    return y", True),
        ("def f(x):\n    return g(..., 2)", "def f(x):\n    return g(x, 2)", True),
        ("def f(x):\n    return g(..., 2)", "def f(x):\n    return g(x, 3)", False),
        ("def f(y):\n    return ...", "def f(x):\n    return x", False),
        ("def f(x):\n    return ...\ncheck.f(f)", "def f(x):\n    return x\ncheck.g(f)", False),
        ("def f(x):\n    y = 1\n    return ...", "def f(x):\n    return x", False),
    ],
)
def test_what_counts_as_a_solution_with_holes(stub, solution, fits):
    assert is_solution_with_holes(stub, solution) is fits


def test_each_exercise_with_a_function_has_a_solution_and_each_solution_an_exercise():
    for path in PATHS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        checked = [c for c in cells if has_tag(c, "exercise") and text(c["source"]).startswith(("def ", "class "))]
        pairs = exercises({"cells": cells})
        assert [stub for stub, _ in pairs] == checked and all(stub is not None for stub, _ in pairs)


# -------------------------------------------------------------------------------------------- the builds


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build") / "student"
    assert versions.main(["student", "--to", str(folder)]) == 0
    return folder


def test_the_students_copies_have_no_solutions_and_no_outputs(student):
    assert [path.name for path in sorted(student.glob("*"))] == [path.name for path in PATHS]
    for path in student.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4)["cells"]
        assert not any(has_tag(cell, "solution") or "_solution" in cell["source"] for cell in cells)
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
        assert any(has_tag(cell, "exercise") for cell in cells)


def test_each_notebook_and_each_build_exports_as_a_script_that_python_reads(student, tmp_path):
    for path in [*PATHS, *student.glob("*.ipynb")]:
        metadata = nbformat.read(path, as_version=4)["metadata"]
        assert metadata["language_info"] == LANGUAGE and ("kdkit" in metadata) <= (path in PATHS)
    command = [sys.executable, "-m", "nbconvert", "--to", "script", "--output-dir", tmp_path, PATHS[0]]
    subprocess.run(command, check=True, capture_output=True)
    ast.parse((tmp_path / f"{PATHS[0].stem}.py").read_text(encoding="utf-8"))


def test_a_solution_does_nothing_but_define_what_it_hands_to_its_check():
    """So nothing that it changes can be missed, but what it defines."""
    for path, number in (parameters.values for parameters in EXERCISES):
        _, solution = exercises(json.loads(path.read_text(encoding="utf-8")))[number]
        *definitions, check = ast.parse(text(solution["source"])).body
        assert all(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in definitions)
        assert all(node.name.endswith("_solution") for node in definitions)
        assert re.fullmatch(r"check\.[\w.]+\(\w+_solution(, \w+)?\)\.passed", ast.unparse(check))


def notebook_of(*cells):
    """A notebook of (source, tag) pairs."""
    code = [nbformat.v4.new_code_cell(source, metadata={"tags": [tag]}) for source, tag in cells]
    return nbformat.v4.new_notebook(cells=code)


STUB, SOLUTION = (
    ("def f(x):\n    return ...\n\n\ncheck.f(f)", "exercise"),
    (
        "scale = 2\n\n\ndef f_solution(x):\n    return scale * x\n\n\ncheck.f(f_solution).passed",
        "solution",
    ),
)


@pytest.mark.parametrize(
    ("later", "name"),
    [
        ("print(f_solution(1))", "f_solution"),
        ("def g():\n    return [scale for _ in range(3)]", "scale"),
        ("scale += 1", "scale"),
        ("print(f'{scale:.1f}')", "scale"),
    ],
)
def test_a_students_copy_that_would_miss_a_solution_is_refused_and_not_written(later, name, tmp_path, capsys):
    nbformat.write(notebook_of(STUB, SOLUTION, (later, "core")), tmp_path / "made_up.ipynb")
    assert versions.main(["student", "--to", str(tmp_path / "student"), str(tmp_path / "made_up.ipynb")]) == 1
    assert capsys.readouterr().out == (
        f"made_up.ipynb: cell 2 takes {name} from a solution, which the students do not have\n"
    )
    assert not (tmp_path / "student").exists()


def test_what_a_solution_changes_for_others_is_found_too():
    changes = ("options['T'] = 4\nnetwork.eval()\nnetwork.bias.data = 0", "solution")
    book = notebook_of(("options, network = {}, net()", "core"), STUB, changes, ("run(network, options)", "core"))
    assert list(versions.taken_from_solutions(book)) == [(3, "network"), (3, "options")]


def test_a_name_that_the_cell_or_one_above_it_binds_anew_is_no_solutions():
    cells = ("scale = 1\nprint(scale)", "core"), ("for scale in [1]:\n    print(scale)", "core"), ("scale", "core")
    assert not list(versions.taken_from_solutions(notebook_of(STUB, SOLUTION, *cells)))


def test_a_solved_copy_without_the_rest_keeps_what_a_solution_can_reach_and_what_that_needs():
    book = notebook_of(
        ("import torch\nx = torch.ones(3)", "core"),
        ("long = train()", "core"),
        ("y = 2 * x", "core"),
        STUB,
        SOLUTION,
        ("z = f(y)", "core"),
        ("plot(long)", "core"),
        ("print(z)", "core"),
        ("my_guess = ...\ncheck.guess(my_guess, long)", "exercise"),
    )
    book["cells"][0]["source"] += "\nfrom kdkit import check"
    kept = versions.without_what_no_solution_reaches(versions.with_solutions(book))["cells"]
    sources = [cell["source"].splitlines()[0] for cell in kept]
    assert sources == ["import torch", "y = 2 * x", "scale = 2", "z = f(y)", "print(z)"]


def test_links_of_a_build_lead_to_the_repository_on_the_web_and_none_to_the_solutions(student):
    address = f"https://github.com/{repository()}/blob/main/"
    sources = [c["source"] for p in student.glob("*.ipynb") for c in nbformat.read(p, as_version=4)["cells"]]
    linked = [link for source in sources for link in re.findall(re.escape(address) + r"([^)]+)", source)]
    assert linked and all((ROOT / link).exists() for link in linked)
    assert not any("](../" in source or "/notebooks/0" in source for source in sources)


@pytest.mark.parametrize("depth", ["all", "short"])
def test_the_badge_of_a_copy_opens_the_copy_itself_in_the_branch_without_solutions(depth, student, workshop):
    folder = {"all": student, "short": workshop}[depth]
    for path in folder.glob("*.ipynb"):
        source = path.read_text(encoding="utf-8")
        place = f"https://colab.research.google.com/github/{repository()}/blob/student/{depth}/{path.name})"
        assert re.findall(r"https://colab\.research\.google\.com/github/\S+?\)", source) == [place]


def test_the_workflow_publishes_the_copies_where_their_badges_lead():
    script = (ROOT / ".github" / "workflows" / "student.yml").read_text(encoding="utf-8")
    for depth, made in ("all", "student"), ("short", "student-short"):
        assert f"mv build/{made} copies/{depth}\n" in script
    assert re.search(rf"git -C copies push --force \S+ {links.COPIES}\n", script)


# ------------------------------------------------------------------------------------ the short path alone


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build") / "workshop"
    assert versions.main(["student", "--depth", "short", "--to", str(folder)]) == 0
    return folder


def test_a_workshops_copies_have_nothing_that_is_marked_and_say_their_own_time(workshop, student):
    shorter = []
    for path in sorted(workshop.glob("*")):
        short, whole = (nbformat.read(folder / path.name, as_version=4) for folder in (workshop, student))
        assert not minutes.has_depth(short) and not any(has_tag(cell, "solution") for cell in short["cells"])
        assert len(minutes.said(short)) == 2  # minutes to read, minutes to compute
        assert minutes.load(short).minutes <= minutes.load(whole).minutes
        shorter += [path.stem[:2]] * (len(short["cells"]) < len(whole["cells"]))
    with_depth = [path for path in PATHS if minutes.has_depth(nbformat.read(path, as_version=4))]
    assert shorter == [path.stem[:2] for path in with_depth] and len(shorter) >= 3


def test_a_workshops_table_of_progress_lists_the_exercises_of_its_copies_alone(workshop):
    cells = [cell for path in sorted(workshop.glob("*")) for cell in nbformat.read(path, as_version=4)["cells"]]
    checked = [cell["source"].splitlines()[-1].split("(")[0].split(".")[-1] for cell in cells if is_checked(cell)]
    tables = [re.findall(r'"(\w+)"', cell["source"]) for cell in cells if "check.progress(" in cell["source"]]
    assert len(tables) >= 3 and all(table == checked for table in tables)
    assert not any("marked ◆" in cell["source"] for cell in cells if "check.progress(" in cell["source"])


def test_links_of_a_workshops_copies_lead_somewhere(workshop):
    assert sorted(path.name for path in workshop.glob("*")) == [path.name for path in PATHS]
    assert [dead for path in workshop.glob("*") for dead in dead_links(path)] == []


def test_a_workshops_copy_that_would_miss_a_marked_part_is_refused_and_not_written(tmp_path, capsys):
    book = notebook_of(("x = 1", "core"), ("y = 2", "extra"), ("print(x)", "core"), ("print(x + y)", "core"))
    book["cells"].insert(0, nbformat.v4.new_markdown_cell("## ◆ Deeper"))
    book["cells"].insert(1, nbformat.v4.new_code_cell("x = z = 0"))
    book["cells"].insert(2, nbformat.v4.new_markdown_cell("## And on"))
    nbformat.write(book, tmp_path / "made_up.ipynb")
    command = ["--to", str(tmp_path / "short"), str(tmp_path / "made_up.ipynb")]
    assert versions.main(["student", "--depth", "short", *command]) == 1
    assert capsys.readouterr().out == (
        "made_up.ipynb: cell 4 takes y from a part marked ◆, which the short path does not have\n"
    )
    assert not (tmp_path / "short").exists()
    assert versions.main(["student", *command]) == 0


# ----------------------------------------------------------------------------- solved, with a kernel


def solve(folder, *arguments):
    """In a process of its own, as ``make solutions`` does it."""
    command = [sys.executable, "-m", "tools.versions", "solutions", "--to", folder, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def made_up(path, solution, *below):
    stub = nbformat.v4.new_code_cell(
        "from kdkit import check\n\ndef soft_targets(logits, temperature):\n    return ...\n\n\n"
        "check.soft_targets(soft_targets)",
        metadata={"tags": ["exercise"]},
    )
    solved = nbformat.v4.new_code_cell(
        f"def soft_targets_solution(logits, temperature):\n    return {solution}\n\n\n"
        "check.soft_targets(soft_targets_solution).passed",
        metadata={"tags": ["solution"]},
    )
    first = nbformat.v4.new_code_cell("from kdkit import check")
    below = [nbformat.v4.new_code_cell(source) for source in below]
    nbformat.write(nbformat.v4.new_notebook(cells=[first, stub, solved, *below]), path)
    return path


def test_a_solution_stands_in_the_place_of_its_stub_and_is_run(tmp_path):
    path = made_up(tmp_path / "made_up.ipynb", "(logits / temperature).softmax(1)")
    book = nbformat.read(path, as_version=4)
    book["cells"].append(nbformat.v4.new_code_cell("1 / 0", metadata={"tags": ["extra"]}))  # not on the short path
    nbformat.write(book, path)
    result = solve(tmp_path / "solved", "--depth", "short", path)
    assert result.returncode == 0, result.stdout + result.stderr
    cells = nbformat.read(tmp_path / "solved" / path.name, as_version=4)["cells"]
    assert len(cells) == 2 and cells[1]["outputs"][0]["data"]["text/plain"].startswith("✓ right")
    assert "def soft_targets(logits" in cells[1]["source"] and "_solution" not in cells[1]["source"]
    assert not list(tmp_path.rglob("kdkit-progress.json"))


@pytest.fixture(scope="module")
def bad_ones(tmp_path_factory):
    """What is said of a wrong solution and of one that breaks a cell below, which runs without the rest."""
    folder = tmp_path_factory.mktemp("bad")
    wrong = made_up(folder / "wrong.ipynb", "logits.softmax(1)")
    below = made_up(
        folder / "breaks.ipynb",
        "(logits / temperature).softmax(1)",
        "1 / 0",
        "import torch\nassert soft_targets(torch.ones(1, 2), 1) is ...",
    )
    solved = versions.with_solutions(nbformat.read(below, as_version=4))
    nbformat.write(versions.without_what_no_solution_reaches(solved), below)
    return solve(folder / "solved", wrong, below), folder / "solved"


def test_a_solution_that_its_check_refuses_is_named_and_not_written(bad_ones):
    result, folder = bad_ones
    assert result.returncode == 1 and not folder.exists()
    assert "wrong.ipynb: ✗ not yet: the temperature makes no difference" in result.stdout


def test_a_solution_that_breaks_a_cell_below_is_found_without_the_rest(bad_ones):
    result, _ = bad_ones
    assert re.search(r"(?s)breaks\.ipynb: .*AssertionError", result.stdout) and "ZeroDivision" not in result.stdout
