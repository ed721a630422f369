"""Every notebook in JupyterLab, as a reader runs it; and proof that a broken one does not get through."""

import json

import pytest
from lab import ROOT

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_in_jupyterlab_without_an_error(open_notebook, name):
    open_notebook(name).run_all()


def test_the_temperature_slider_of_00_follows_the_arrow_keys_and_the_mouse(open_notebook):
    notebook = open_notebook("00_start_here.ipynb")
    notebook.run_all()
    slider, sentence = notebook.slider(), notebook.page.locator(".widget-html p").filter(has_text="At T =")
    assert "At T = 1:" in sentence.inner_text()
    for expected in "1.5", "2", "2.5":
        slider.press("ArrowRight")
        sentence.filter(has_text=f"At T = {expected}:").wait_for(timeout=5000)
    slider.drag(-2000)
    sentence.filter(has_text="At T = 0.2: chair 1,").wait_for(timeout=5000)
    assert notebook.page.locator(".widget-html svg[role=img]").get_attribute("aria-label") == sentence.inner_text()
    notebook.check()


@pytest.fixture
def made_up(lab, open_notebook):
    """``made_up(source, ...)``: a notebook of these code cells, opened."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}

    def write_and_open(*sources):
        cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        cells = [cell | {"id": f"cell-{n}", "source": source} for n, source in enumerate(sources)]
        metadata = {"kernelspec": kernel}  # without one JupyterLab asks which
        notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
        (lab.files / "made_up.ipynb").write_text(json.dumps(notebook))
        return open_notebook("made_up.ipynb")

    return write_and_open


def test_a_cell_that_raises_is_found_and_so_is_what_did_not_run_after_it(made_up):
    notebook = made_up("1 / 0", "2")
    with pytest.raises(AssertionError, match=r"(?s)cell 0: ZeroDivisionError: division by zero.*cell 1 was not"):
        notebook.run_all()


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
