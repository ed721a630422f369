"""The rules for what stands in a notebook file: all notebooks keep them, and each rule can fail."""

import copy
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tools import drawing, notebooks
from tools.notebooks import ROOT, WIDGET_VIEW

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_notebooks_keep_every_rule():
    assert [broken for path in PATHS for broken in notebooks.check(path)] == []


def code(source, number, *outputs, tags=()):
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code", "execution_count": number, "id": f"cell-{number}", "metadata": metadata,
        "outputs": list(outputs), "source": source,
    }  # fmt: skip


def shown(**data):
    return {"output_type": "display_data", "metadata": {}, "data": data}


def good():
    cells = [code(f"# NBVAL_CHECK_OUTPUT\nprint({n})", n) for n in range(1, 6)]
    picture = shown(**{"text/html": '<img alt="a chair" src="data:image/png;base64,/tmp/AAAA">'})
    cells.append(code("kdkit.show(fig)", 6, picture))
    cells.insert(0, {"cell_type": "markdown", "id": "text", "metadata": {}, "source": "![a chair](chair.png)"})
    drawn = {"drawn_by": drawing.drawn_by([cells[-1]["source"]])}
    metadata = {"kernelspec": notebooks.KERNELSPEC, "language_info": notebooks.LANGUAGE, "kdkit": drawn}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def with_metadata(**changes):
    return good() | {"metadata": good()["metadata"] | changes}


def with_last_cell(**changes):
    notebook = good()
    notebook["cells"][-1] |= changes
    return notebook


def with_output(output):
    return with_last_cell(outputs=[output])


def with_text(source):
    notebook = good()
    notebook["cells"][0]["source"] = source
    return notebook


def with_lines(*numbers_of_lines):
    """Cells of so many lines each, all run and compared."""
    cells = [code("# NBVAL_CHECK_OUTPUT" + "\n1" * (n - 1), i + 1) for i, n in enumerate(numbers_of_lines)]
    return good() | {"cells": cells}


ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}
BAD = [
    (notebooks.language_is_named, with_metadata(language_info={"name": "python"}), "metadata.language_info is"),
    (notebooks.language_is_named, with_metadata(kernelspec={"name": "another-machines"}), "metadata.kernelspec is"),
    (notebooks.kdkit_comes_first, with_last_cell(source="import torch\nimport kdkit"), "cell 5 imports torch before"),
    (notebooks.drawn_as_now, with_metadata(kdkit={"drawn_by": "older"}), "older than the code that draws them"),
    (notebooks.drawn_as_now, with_last_cell(source="figures.scatter(x, y)"), "older than the code that draws them"),
    (notebooks.no_widget_state, with_metadata(widgets={}), "Invalid Notebook"),
    (notebooks.no_widget_views, with_output(shown(**{WIDGET_VIEW: {}})), "cell 5"),
    (notebooks.every_cell_was_run, with_last_cell(execution_count=None), "cell 5 was not run"),
    (notebooks.counts_in_order, with_last_cell(execution_count=7), "not 1 to 6"),
    (notebooks.no_errors, with_output(ERROR), "cell 5 shows ValueError"),
    (notebooks.no_bare_show, with_last_cell(source="plt.show()"), "cell 5 calls plt.show"),
    (notebooks.no_tag_twice, with_last_cell(metadata={"tags": ["core", "core"]}), "a tag twice"),
    (notebooks.solutions_are_folded, with_last_cell(metadata={"tags": ["solution"]}), "cell 5 is a solution"),
    (notebooks.short_cells, with_lines(7, 7, 7, 7, 7, 2), "median code cell has 7 lines"),
    (notebooks.short_cells, with_lines(26, *[2] * 48), "1 of 49 code cells have over 25 lines"),
    (notebooks.enough_compared_cells, with_lines(2, 2, 2, 2), "4 cells are compared"),
    (notebooks.images_have_alt, with_output(shown(**{"text/html": "<p><img src=x alt=' '></p>"})), "without alt"),
    (notebooks.images_have_alt, with_output(shown(**{"image/png": "AAAA"})), "without text/html"),
    (notebooks.images_have_alt, with_text("![](chair.png)"), "text cell 0"),
    (notebooks.images_have_alt, with_text('<img src="chair.png">'), "text cell 0"),
    (notebooks.no_machine_paths, with_output({"output_type": "stream", "text": ["in /tmp/x/y.py"]}), "/tmp/x/y.py"),
    (notebooks.no_machine_paths, with_output(ERROR | {"traceback": ["File /home/ada/x.py"]}), "/home/ada"),
    (notebooks.no_addresses, with_output(shown(**{"text/plain": ["<Line2D at 0x7f00aa11>"]})), "Line2D"),
]


@pytest.mark.parametrize("rule, notebook, words", BAD, ids=[f"{rule.__name__}-{words}" for rule, _, words in BAD])
def test_a_notebook_that_breaks_a_rule_is_named_with_the_rule(rule, notebook, words, tmp_path):
    (tmp_path / "bad.ipynb").write_text(json.dumps(notebook))
    [broken] = [line for line in notebooks.check(tmp_path / "bad.ipynb") if rule.__name__ in line]
    assert broken.startswith(f"bad.ipynb: {rule.__name__}: ") and words in broken


def test_a_notebook_of_more_than_one_and_a_half_megabytes_is_refused():
    assert not list(notebooks.small_enough({}, 1_500_000))
    assert list(notebooks.small_enough({}, 1_500_001))


def test_every_rule_was_seen_to_fail():
    assert {rule for rule, _, _ in BAD} | {notebooks.small_enough} == set(notebooks.RULES)


@pytest.mark.parametrize("rule", notebooks.RULES, ids=lambda rule: rule.__name__)
def test_a_good_notebook_keeps_the_rule(rule):
    assert list(rule(good(), 1000)) == []


def test_an_error_that_is_the_lesson_may_stand_in_a_cell_tagged_so():
    assert not list(notebooks.no_errors(with_last_cell(outputs=[ERROR], metadata={"tags": ["raises-exception"]}), 0))


# ------------------------------------------------------------------------------------------ the quizzes


def all_quiz_places():
    return [places for path in PATHS for places in notebooks.quiz_places(json.loads(path.read_text(encoding="utf-8")))]


def share_of_the_commonest(places):
    return max(Counter(place for [place] in places).values()) / len(places)


def test_each_quiz_question_has_one_right_option():
    assert len(all_quiz_places()) >= 25 and {len(places) for places in all_quiz_places()} == {1}


def test_the_right_option_is_at_one_place_in_at_most_half_of_the_questions():
    assert share_of_the_commonest(all_quiz_places()) <= 0.5


@pytest.mark.parametrize("heading", ["## Quiz", "## ◆ Quiz", "### Quiz"])
def test_where_the_right_option_stands_is_read_from_its_explanation(heading):
    wrong, right = "<details><summary>a</summary>No.</details>", "<details><summary>b</summary>Yes: c.</details>"
    rows = [(wrong, right), (right, wrong), (wrong, wrong), (wrong, right)]
    quiz = f"{heading}\n" + "".join(f"\n**{n}. Why?**\n" + "\n".join(row) + "\n" for n, row in enumerate(rows, 1))
    assert list(notebooks.quiz_places(with_text(quiz))) == [[2], [1], [], [2]]
    assert list(notebooks.quiz_places(with_text(quiz.replace("## Quiz", "## ◆ Quiz")))) == [[2], [1], [], [2]]
    assert share_of_the_commonest([[2], [1], [2], [2]]) == 0.75


# ------------------------------------------------------------------- pictures and the code that draws them


@pytest.fixture
def drawn_with(monkeypatch, tmp_path):
    """The hash of a notebook that shows a scatter plot, where kdkit's figures are those of a given source."""
    figures = tmp_path / "kdkit" / "course" / "figures" / "points.py"
    figures.parent.mkdir(parents=True)
    monkeypatch.setattr(drawing, "ROOT", tmp_path)

    def hashed(source):
        drawing.drawing_code.cache_clear()
        figures.write_text(source)
        return drawing.drawn_by(["%pip install x", "figures.scatter(x, y)"])

    yield hashed
    drawing.drawing_code.cache_clear()


FIGURES = '''
SIZE = 10
def scatter(x, y):
    """Points."""
    return _draw(x, y)
def _draw(x, y):
    return SIZE, x, y  # a picture
def other():
    return 1
'''


@pytest.mark.parametrize(
    ("was", "becomes"), [("SIZE = 10", "SIZE = 11"), ("SIZE, x, y ", "SIZE, y, x "), ("_draw(x, y)\ndef", "x\ndef")]
)
def test_a_change_of_what_draws_a_notebooks_pictures_is_seen(drawn_with, was, becomes):
    assert was in FIGURES and drawn_with(FIGURES) != drawn_with(FIGURES.replace(was, becomes))


def test_a_change_of_the_pages_that_are_drawn_beside_the_figures_is_seen(drawn_with, tmp_path):
    def of(title):
        page = f"def pages(x):\n    return figures.scatter(x, {title!r})\ndef numbers(x):\n    return {title!r}\n"
        (tmp_path / "kdkit" / "course" / "inside.py").write_text(page)
        drawn_with(FIGURES)
        return [drawing.drawn_by([f"inside.{name}(x)"]) for name in ("pages", "numbers")]

    (pages, numbers), (new_pages, new_numbers) = of("a title"), of("another")
    assert pages != new_pages and numbers == new_numbers


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("Points.", "Dots."),
        ("  # a picture", ""),
        ("x, y):\n    r", "x,  y):\n\n    r"),
        ("return 1", "return 2"),
        ("(x, y):", "(x: float, y: int) -> int:"),
        ("SIZE = 10", "SIZE: int = 10"),
        ("    return S", "    kept: int\n    return S"),
    ],
    ids=["docstring", "comment", "layout", "a figure that it does not show", "types", "type of a name", "a type alone"],
)
def test_a_change_that_draws_no_other_picture_is_not(drawn_with, was, becomes):
    assert was in FIGURES and drawn_with(FIGURES) == drawn_with(FIGURES.replace(was, becomes))


# -------------------------------------------------------------------------------------- running


RUN = [
    "import ipywidgets\nipywidgets.FloatSlider(description='T')",
    "import sys\nfor n in range(3):\n    print(n, flush=True)\n    print('to stderr', file=sys.stderr, flush=True)",
    "import json\njson.loads('{')",
    "'the end'",
]


@pytest.fixture
def unrun(tmp_path):
    cells = [code(source, None) for source in RUN]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    cells[2]["metadata"] = {"tags": ["raises-exception"]}
    metadata = {"kernelspec": {"display_name": "x", "language": "python", "name": "another-machines-kernel"}}
    path = tmp_path / "unrun.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


def run_tool(path):
    command = [sys.executable, "-m", "tools.notebooks", path]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_running_twice_writes_the_same_bytes_and_nothing_of_this_machine(unrun):
    run_tool(unrun)
    first = unrun.read_bytes()
    run_tool(unrun)
    assert unrun.read_bytes() == first and first.endswith(b"}\n")
    broken = notebooks.check(unrun)
    assert [line.split(": ")[1] for line in broken] == ["enough_compared_cells"]
    written = json.loads(first)
    drawn = {"drawn_by": drawing.drawn_by(RUN), "seconds": {"short": 10}}
    wanted = {"kernelspec": notebooks.KERNELSPEC, "language_info": notebooks.LANGUAGE, "kdkit": drawn}
    assert written["metadata"] == wanted
    assert [cell["id"] for cell in written["cells"]] == [f"cell-{n}" for n in range(4)]
    assert "FloatSlider" in str(written["cells"][0]["outputs"]) and "view" not in str(written["cells"][0]["outputs"])


COUNT_KERNELS = """
import pathlib, psutil, sys
from tools import notebooks
notebooks.executed(pathlib.Path(sys.argv[1]))
print(len(psutil.Process().children()))
"""


def test_a_kernel_ends_with_its_notebook(unrun):
    command = [sys.executable, "-c", COUNT_KERNELS, unrun]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "0\n"


@pytest.mark.parametrize(
    "source, words",
    [("1 / 0", "ZeroDivisionError"), ("import ipywidgets\nipywidgets.interact(lambda x: 1 / 0, x=1);", "in a widget")],
    ids=["cell", "widget callback"],
)
def test_a_notebook_that_fails_is_named_and_left_as_it_was(unrun, source, words):
    notebook = json.loads(unrun.read_text())
    notebook["cells"][0]["source"] = source
    unrun.write_text(json.dumps(notebook))
    before = unrun.read_bytes()
    result = run_tool(unrun)
    assert result.returncode == 1 and "unrun.ipynb: " in result.stdout and words in result.stdout
    assert unrun.read_bytes() == before


def test_folders_of_this_machine_leave_tracebacks():
    lines = [f"File \x1b[32m{ROOT}/kdkit/losses.py:3\x1b[39m", "File \x1b[32m~/v/lib/site-packages/torch/x.py:1"]
    lines.append("\x1b[32m/tmp/ipykernel_4711/12.py\x1b[0m in <module>")
    cleaned = notebooks.clean(copy.deepcopy(with_output(ERROR | {"traceback": lines})))
    traceback = cleaned["cells"][-1]["outputs"][0]["traceback"]
    assert traceback == [
        "File \x1b[32mkdkit/losses.py:3\x1b[39m",
        "File \x1b[32mtorch/x.py:1",
        "\x1b[32m12.py\x1b[0m in <module>",
    ]


def test_an_output_that_was_only_a_widget_view_goes_and_text_beside_one_stays():
    assert notebooks._clean_output(shown(**{WIDGET_VIEW: {"model_id": "x"}})) is None
    kept = notebooks._clean_output(shown(**{WIDGET_VIEW: {"model_id": "x"}, "text/html": "<p>T = 4</p>"}))
    assert kept["data"] == {"text/html": "<p>T = 4</p>"}
    bar = "distilling:   0%|          | 0/118 [00:00<?, ?step/s]"
    assert notebooks._clean_output(shown(**{WIDGET_VIEW: {"model_id": "x"}, "text/plain": bar})) is None
    assert notebooks._clean_output(shown(**{"text/plain": bar})) is not None


def test_paths_below_the_home_folder_are_recognised(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    assert notebooks._below_home(Path("/home/ada/kdkit")) == "kdkit/"
    assert notebooks._below_home(Path("/srv/kdkit")) == "\0"
