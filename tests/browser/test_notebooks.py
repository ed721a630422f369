"""Every notebook in JupyterLab, as a reader runs it; and proof that a broken one does not get through."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import saved
from lab import ROOT

from kdkit.course.widgets.temperature import STOPS
from tools.notebooks import text
from tools.versions import exercises, solved_source

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def ran(lab, request):
    """A notebook, run from top to bottom, once for all tests that ask for it; pytest puts these one after the other."""
    notebook = lab.open(request.param)
    try:
        notebook.run_all()
        yield notebook
    finally:
        notebook.close()
        for progress in lab.files.glob("*progress*"):
            progress.unlink()


def notebooks(*names):
    return pytest.mark.parametrize("ran", names, indirect=True)


@notebooks(*NOTEBOOKS)
def test_notebook_runs_in_jupyterlab_without_an_error_and_shows_what_was_saved(ran, lab, request):
    ran.check()
    assert not list(saved.differences(request.session, ROOT / "notebooks" / ran.name, ran.outputs()))
    assert not list(lab.files.glob("*progress*"))  # an untouched stub is no attempt, and a solution beside it is none


@notebooks("00_start_here.ipynb", "02_temperature.ipynb")
def test_the_temperature_bars_follow_the_arrow_keys_the_mouse_and_the_presets(ran):
    slider, bars = ran.slider(), ran.page.locator(".kdkit-bars")
    sentence = bars.locator("p")
    assert "At T = 1" in sentence.inner_text()
    before = bars.locator("svg").inner_html()
    for expected in "1.2", "1.4", "1.6":
        slider.press("ArrowRight")
        sentence.filter(has_text=re.compile(rf"At T = {expected}\b")).wait_for(timeout=5000)
    slider.drag(-2000)
    sentence.filter(has_text=re.compile(r"At T = 0.2[,:].*chair 1\.000,")).wait_for(timeout=5000)
    slider.handle.and_(ran.page.get_by_role("slider", name="Temperature")).wait_for(timeout=5000)
    assert slider.handle.get_attribute("aria-valuetext") == "0.2"
    assert slider.handle.get_attribute("data-lm-suppress-shortcuts") == "true"  # Notebook 7 would take the arrow keys
    assert bars.locator("svg").inner_html() != before
    bars.get_by_role("button", name="T = 20").click()
    sentence.filter(has_text="At T = 20").wait_for(timeout=5000)
    assert slider.value == len(STOPS) - 1  # the preset moved the slider as well
    ran.check()


def test_what_the_browser_moved_the_kernel_knows(made_up):
    notebook = made_up(
        "import torch\nfrom kdkit.course.widgets import TemperaturePanel\n"
        "panel = TemperaturePanel(torch.arange(6.0).view(2, 3), list('abc'), labels=[2, 2])\npanel",
        "print(panel.state)",
    )
    notebook.run_all()
    field = notebook.page.get_by_label("state to share")
    field.fill("T=4 image=1")
    field.press("Enter")
    notebook.page.locator(".kdkit-bars p").filter(has_text="At T = 4").wait_for(timeout=5000)
    assert notebook.run_cell("print(panel.state)") == "T=4 image=1\n"
    notebook.check()


@notebooks("01_dark_knowledge.ipynb")
def test_the_morph_of_01_is_covered_until_a_guess_and_follows_keys_and_mouse(ran):
    slider, bars = ran.slider(), ran.page.locator(".kdkit-bars").first
    assert not bars.locator("svg").is_visible()
    picture = bars.locator("img").get_attribute("src")
    for _ in range(3):
        slider.press("ArrowRight")
    ran.page.get_by_role("button", name="I would switch here").click()
    sentence = bars.locator("p")
    sentence.filter(has_text="0.06 of the way from chair to armchair").filter(has_text="you said 0.06").wait_for(
        timeout=5000
    )
    assert bars.locator("svg").is_visible() and bars.locator("img").get_attribute("src") != picture
    assert bars.locator("img").get_attribute("alt") == "0.06 of the way from chair to armchair."
    slider.handle.and_(ran.page.get_by_role("slider", name="How far")).wait_for(timeout=5000)
    slider.drag(3000)
    sentence.filter(has_text=re.compile("1.00 of the way.*: armchair 0.9")).wait_for(timeout=5000)
    ran.page.locator(".widget-dropdown select").nth(1).select_option("stool")
    sentence.filter(has_text="What will the network say?").wait_for(timeout=5000)
    field = ran.page.get_by_label("state to share")
    field.fill("stool>chair at 1.00 seed=5 guess=none")
    field.press("Enter")
    sentence.filter(has_text="1.00 of the way from stool to chair: chair").wait_for(timeout=5000)
    ran.check()


@notebooks("02_temperature.ipynb")
def test_the_flip_book_of_02_turns(ran):
    slider = ran.slider(1)
    sentence = ran.page.locator(".jp-OutputArea p")
    slider.press("ArrowRight", times=2)
    sentence.filter(has_text=re.compile("^100 images of each class, alone")).wait_for(timeout=5000)
    slider.handle.and_(ran.page.get_by_role("slider", name="Labelled images")).wait_for(timeout=5000)
    assert slider.handle.get_attribute("aria-valuetext") == "100 a class"
    slider.drag(-2000)
    sentence.filter(has_text=re.compile("^10 images of each class, alone")).wait_for(timeout=5000)
    ran.check()


@notebooks("05_smaller_is_not_faster.ipynb")
def test_the_sliders_of_05_show_another_network(ran):
    sentence = ran.page.locator(".jp-OutputArea p")
    depth, width = ran.slider(0), ran.slider(1)
    sentence.filter(has_text=re.compile(r"^3 layers of width 256: 2\.37 million .* measured [\d.]+ ms\.$")).wait_for(
        timeout=20_000
    )
    depth.press("ArrowRight", times=2)
    sentence.filter(has_text=re.compile(r"^6 layers of width 256: .* measured [\d.]+ ms\.$")).wait_for(timeout=20_000)
    depth.handle.and_(ran.page.get_by_role("slider", name="Depth")).wait_for(timeout=5000)
    width.handle.and_(ran.page.get_by_role("slider", name="Width")).wait_for(timeout=5000)
    assert depth.handle.get_attribute("aria-valuetext") == "6"  # not the number of the stop
    assert depth.handle.get_attribute("data-lm-suppress-shortcuts") == "true"  # Notebook 7 would take the arrow keys
    width.drag(2000)
    sentence.filter(has_text=re.compile(r"^6 layers of width 384: .* measured [\d.]+ ms\.$")).wait_for(timeout=20_000)
    ran.check()


@notebooks("03b_bug_museum.ipynb")
def test_a_reader_fixes_an_exhibit_of_03b_and_the_symptom_goes(ran, lab):
    assert ran.run_cell("bugs.never_zero(never_zero):") == "loss of an exact copy of the teacher: 0.96\n"
    book = json.loads((ROOT / "notebooks" / "03b_bug_museum.ipynb").read_text(encoding="utf-8"))
    fixed = [solved_source(solution) for _, solution in exercises(book) if "never_zero" in text(solution["source"])]
    assert ran.run_cell("check.bugs.never_zero(never_zero)", fixed[0]).startswith("✓ right")
    assert ran.run_cell("bugs.never_zero(never_zero):") == "loss of an exact copy of the teacher: 0.00\n"
    assert "03b The bug museum 1 of 11" in ran.run_cell("check.progress()")
    ran.page.locator("td").filter(has_text="✓ never_zero").wait_for(timeout=5000)
    assert json.loads((lab.files / "kdkit-progress.json").read_text()) == {
        "never_zero": {"attempts": 1, "solved": True, "mistakes": []}
    }
    ran.check()


@pytest.fixture
def made_up(lab):
    """``made_up(source, ...)``: a notebook of these code cells, opened."""
    opened = []

    def write_and_open(*sources):
        opened.append(lab.write("made_up.ipynb", *sources))
        return opened[-1]

    yield write_and_open
    for notebook in opened:
        notebook.close()


def test_a_cell_that_raises_is_found_and_so_is_what_did_not_run_after_it(made_up):
    notebook = made_up("1 / 0", "2")
    with pytest.raises(AssertionError, match=r"(?s)cell 0: ZeroDivisionError: division by zero.*cell 1 was not"):
        notebook.run_all()


HTML = "<IPython.core.display.HTML object>"
CELL = "# NBVAL_CHECK_OUTPUT\nprint('a {}')\nfrom IPython.display import HTML\nHTML('<b>{}</b>')"


@pytest.mark.parametrize(
    ("text", "page", "said"), [("one", "one", None), ("two", "one", "a two"), ("one", "two", "<b>two</b>")]
)
def test_an_output_that_is_not_as_saved_is_found(made_up, tmp_path, request, text, page, said):
    notebook = made_up("print('not compared')", CELL.replace("{}", text, 1).replace("{}", page))
    notebook.run_all()
    was = nbformat.v4.new_code_cell(CELL, execution_count=1)
    was["outputs"] = [nbformat.v4.new_output("stream", text="a one\n")]
    was["outputs"].append(nbformat.v4.new_output("execute_result", {"text/html": "<b>one</b>", "text/plain": HTML}))
    first = nbformat.v4.new_code_cell("print('not compared')", execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[first, was]), tmp_path / "was.ipynb")
    found = list(saved.differences(request.session, tmp_path / "was.ipynb", notebook.outputs()))
    assert len(found) == (said is not None) and all("cell 1" in line and said in line for line in found)


@pytest.mark.parametrize(
    ("browser", "data", "by_nbval"),
    [
        ("chromium", None, []),
        ("chromium", "data", ["01_dark_knowledge.ipynb", "04_cifar_distillation.ipynb"]),
        (None, "data", NOTEBOOKS),
    ],
)
def test_each_notebook_is_run_in_jupyterlab_or_by_nbval_and_those_on_real_data_by_both(
    monkeypatch, browser, data, by_nbval
):
    monkeypatch.setattr(saved.lab, "find_browser", lambda: browser)
    monkeypatch.setenv("KDKIT_DATA", data or "")
    cells = [SimpleNamespace(path=ROOT / "notebooks" / name) for name in NOTEBOOKS]
    whole = [
        SimpleNamespace(path=Path(__file__), originalname=saved.WHOLE_RUN, callspec=SimpleNamespace(params={"ran": n}))
        for n in NOTEBOOKS
    ]
    assert saved.WHOLE_RUN in globals()
    assert [cell.path.name for cell in cells if cell not in saved.run_twice(cells + whole)] == by_nbval
    assert saved.run_twice(cells) == []  # JupyterLab was not asked for


def test_an_error_inside_an_output_widget_is_found(made_up):
    notebook = made_up("import ipywidgets\nipywidgets.interact(lambda x: 1 / 0, x=3);")
    with pytest.raises(AssertionError, match="in a widget's callback: ZeroDivisionError"):
        notebook.run_all()


def test_a_callback_that_raises_when_the_slider_moves_is_found(made_up):
    notebook = made_up(
        "import ipywidgets\nslider = ipywidgets.IntSlider(description='T')\n"
        "slider.observe(lambda change: 1 / 0, 'value')\nslider"
    )
    notebook.run_all()  # nothing is wrong until somebody moves it
    notebook.slider().press("ArrowRight")
    notebook.page.wait_for_function("window.kernelErrors.length")
    with pytest.raises(AssertionError, match="in a widget's callback: ZeroDivisionError"):
        notebook.check()


RANGE = "from IPython.display import HTML\nHTML('<input type=range min=0 max=10 value=5 {}>')"


def test_what_a_control_logs_as_an_error_is_found(made_up):
    notebook = made_up(RANGE.format('oninput="console.error(&quot;lost the model&quot;)"'))
    notebook.run_all()
    notebook.slider().drag(40)
    with pytest.raises(AssertionError, match=r"console\.error: lost the model"):
        notebook.check()


def test_what_a_control_throws_is_found(made_up):
    notebook = made_up(RANGE.format('oninput="throw new Error(&quot;no such view&quot;)"'))
    notebook.run_all()
    notebook.slider().drag(-40)
    with pytest.raises(AssertionError, match="uncaught in the page: no such view"):
        notebook.check()


def test_arrow_keys_and_the_mouse_move_a_slider(made_up):
    notebook = made_up("import ipywidgets\nipywidgets.IntSlider(value=50, description='T')")
    notebook.run_all()
    slider = notebook.slider()
    slider.press("ArrowRight", times=3)
    assert slider.value == 53
    slider.drag(-60)
    assert slider.value < 45
    notebook.check()
