"""``make html``: a page with no kernel behind it, whose slider moves; without the network it shows still pictures."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lab import ROOT, Slider

from kdkit.course.widgets import TemperaturePanel
from tools.pages import gallery

LOGITS, CLASSES, LABELS = [[4.0, 2.5, -6.0], [1.0, 3.0, 0.5]], ["chair", "sofa", "mushroom"], [0, 1]
PANEL = (
    f"import torch\nfrom kdkit.course.widgets import *\nTemperaturePanel(torch.tensor({LOGITS}), {CLASSES}, {LABELS})"
)
KERNEL_PANEL = "MorphPanel(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10)))"

# What stands behind a CDN's address, in node_modules: the page asks for ranges of versions, and any will do here.
ADDRESSES = (
    (r"https://(?:unpkg\.com|cdn\.jsdelivr\.net/npm)/((?:@[\w-]+/)?[\w-]+)@[^/]+/(.+)", r"\1/\2"),
    (r"https://cdnjs\.cloudflare\.com/ajax/libs/require\.js/[^/]+/require\.min\.js", "requirejs/require.js"),
    (r"https://cdnjs\.cloudflare\.com/ajax/libs/mathjax/[^/]+/([^?]+).*", r"mathjax/\1"),
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The page of a notebook with a formula, a panel that moves alone and one that asks the kernel."""
    folder = tmp_path_factory.mktemp("pages")
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    cells = [cell | {"id": f"cell-{n}", "source": source} for n, source in enumerate((PANEL, KERNEL_PANEL))]
    cells.append({"cell_type": "markdown", "id": "text", "metadata": {}, "source": "the formula $z / T$"})
    notebook = folder / "made_up.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    before = notebook.read_bytes()
    page = build(notebook, folder / "html")
    assert notebook.read_bytes() == before
    return page


def build(notebook, folder):
    """What ``make html`` does with one notebook; gives the page."""
    command = [sys.executable, "-m", "tools.pages", "--to", folder, notebook]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / f"{notebook.stem}.html"


@pytest.fixture
def packages():
    """The npm packages that answer for the CDNs."""
    folder = Path(os.environ.get("KDKIT_NPM", "no-such-folder"), "node_modules")
    if not folder.is_dir():
        pytest.skip("the widget front end's npm packages not found: set KDKIT_NPM")
    return folder


@pytest.fixture
def open_page(lab, built):
    """``open_page(packages, without=...)``: the made-up page (or ``path``), where only these answer, and none of a name
    ``without``.

    What is raised in the page fails the test.
    """
    opened, errors = [], []

    def open_one(packages=None, without=None, path=built):
        def answer(route):
            url = route.request.url
            found = [match.expand(file) for address, file in ADDRESSES if (match := re.fullmatch(address, url))]
            if url.startswith("file:"):
                route.continue_()
            elif packages and found and without not in found[0].split("/"):
                route.fulfill(path=packages / found[0])
            else:
                route.abort()

        page = lab.browser.new_page(viewport={"width": 1280, "height": 800})
        opened.append(page)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.route("**/*", answer)
        page.goto(path.as_uri())
        return page

    yield open_one
    for page in opened:
        page.close()
    assert errors == []


STILL = "img[alt^='At T = 1:']"


def test_the_slider_and_the_chooser_move_without_a_kernel(open_page, packages):
    page = open_page(packages)
    panel = TemperaturePanel(torch.tensor(LOGITS), CLASSES, LABELS)
    sentence = page.locator(".kdkit-bars p")
    sentence.wait_for()
    assert sentence.inner_text() == panel.sentence and not page.locator(STILL).is_visible()
    slider = Slider(page.locator("[role=slider]"))
    for temperature in (1.2, 1.4):
        slider.press("ArrowRight")
        panel.slider.value = temperature
        sentence.filter(has_text=panel.sentence).wait_for(timeout=5000)
    page.locator("select").select_option("1: sofa")
    panel.chooser.index = 1
    sentence.filter(has_text=panel.sentence).wait_for(timeout=5000)


def test_a_panel_that_asks_the_kernel_stays_a_picture_and_says_so(open_page, packages):
    page = open_page(packages)
    page.locator(".kdkit-bars").wait_for()
    assert page.locator(".kdkit-bars").count() == page.locator("[role=slider]").count() == 1
    assert page.locator("img[alt^='Six steps from chair to armchair']").is_visible()
    assert page.get_by_text("this panel asks a running kernel").is_visible()


def test_formulas_are_set(open_page, packages):
    open_page(packages).locator(".mjx-chtml").wait_for()


def check_that_the_still_picture_stands_alone(page):
    still, panel = page.locator(STILL), page.locator(".panel")
    assert still.is_visible() and still.evaluate("image => image.naturalWidth") > 100
    assert panel.locator(".jupyter-widgets:visible, [role=slider]:visible").count() == 0
    assert panel.bounding_box()["height"] - still.bounding_box()["height"] < 40  # no blank room for a widget


def test_without_the_network_the_still_picture_stands_alone(open_page):
    page = open_page()
    check_that_the_still_picture_stands_alone(page)
    assert page.locator(".lm-Widget").count() == 0


def test_where_a_part_of_the_widget_cannot_be_fetched_the_still_picture_stays(open_page, packages):
    page = open_page(packages, without="anywidget")
    page.locator(".jupyter-widgets-error-widget").first.wait_for(state="attached")
    check_that_the_still_picture_stands_alone(page)


def test_the_page_of_notebook_02_moves_and_leads_to_other_pages(open_page, packages, tmp_path):
    page = open_page(packages, path=build(ROOT / "notebooks" / "02_temperature.ipynb", tmp_path))
    bars, pages = page.locator(".kdkit-bars p"), page.locator(".jp-OutputArea p")
    bars.wait_for()
    Slider(page.get_by_role("slider", name="Temperature")).press("ArrowRight")
    bars.filter(has_text="At T = 1.2").wait_for(timeout=5000)
    Slider(page.get_by_role("slider", name="Labelled images")).press("ArrowRight")
    pages.filter(has_text=re.compile("^30 images of each class")).wait_for(timeout=5000)
    assert page.locator("a[href='00_start_here.html']").count() == 1
    assert page.locator("a[href$='.ipynb']").count() == 1  # the badge's, to Colab


def test_the_gallery_stands_without_a_network_and_leads_to_each_page(open_page, tmp_path):
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for notebook in notebooks:
        (tmp_path / f"{notebook.stem}.html").write_text(f"<title>{notebook.stem}</title>")
    gallery(tmp_path)
    page = open_page(path=tmp_path / "index.html")
    cards = page.locator("li")
    assert cards.count() == len(notebooks) >= 4
    for card, notebook in zip(cards.all(), notebooks, strict=True):
        picture = card.locator("img")
        assert picture.evaluate("image => image.naturalWidth") > 100 and len(picture.get_attribute("alt")) > 20
        assert re.search(r"\w+[.?]$", card.locator("p").first.inner_text()) and "minute" in card.inner_text()
        card.get_by_role("link").focus()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/{notebook.stem}.html")
        page.go_back()
    assert page.locator("[src^=http], link, script").count() == 0
