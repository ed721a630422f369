"""bars.js in Chromium: its arithmetic at every stop of the slider, what it draws, and how it takes a state."""

import base64
import math
from itertools import product

import ipywidgets
import pytest
import torch

from kdkit.course.widgets import HumpsPanel, TemperaturePanel, TopKPanel, bars, flipbook
from kdkit.course.widgets.temperature import PRESETS, STOPS
from kdkit.data.things import CLASSES

TOLERANCE = 1e-5

# A model as anywidget gives it to a view: get, set, save_changes, on, off.
MODEL = """(state) => {
    const listeners = [];
    window.model = {
        get: (name) => state[name],
        set: (name, value) => { state[name] = value; },
        save_changes: () => listeners.forEach(([, f]) => f()),
        on: (name, f) => listeners.push([name, f]),
        off: (name, f) => listeners.splice(listeners.findIndex((l) => l[1] === f), 1),
    };
}"""


@pytest.fixture
def show(lab):
    """``show(widget)``: an anywidget's state and JavaScript in a page of their own, no kernel anywhere."""
    pages = []

    def show_one(widget):
        page = lab.browser.new_page(viewport={"width": 1000, "height": 600})
        pages.append(page)
        page.set_content("<!doctype html><title>bars</title><div id=here></div>")
        names = set(widget.keys) - set(ipywidgets.DOMWidget.class_trait_names())
        page.evaluate(MODEL, {name: getattr(widget, name) for name in names if not name.startswith("_")})
        source = base64.b64encode(str(widget._esm).encode()).decode()
        page.evaluate(f"async () => {{ window.view = await import('data:text/javascript;base64,{source}'); }}")
        page.evaluate("() => window.view.default.render({ model: window.model, el: document.getElementById('here') })")
        return page

    yield show_one
    for page in pages:
        page.close()


@pytest.fixture
def panel():
    generator = torch.Generator().manual_seed(5)
    teacher, student = 6 * torch.randn(2, 3, 10, generator=generator)
    teacher[2, 4] = 300  # so far ahead that the others underflow at low temperatures
    return TemperaturePanel(teacher, CLASSES, labels=[0, 1, 4], student_logits=student)


def move(page, stop, picture):
    page.evaluate(
        "([stop, picture]) => { model.set('stop', stop); model.set('picture', picture); model.save_changes(); }",
        [stop, picture],
    )
    return page.evaluate("() => document.querySelector('.kdkit-bars').numbers")


def test_the_bars_and_the_numbers_above_them_are_the_softmax_at_every_stop(show, panel):
    page = show(panel.bars)
    for picture, (stop, temperature) in product(range(3), enumerate(STOPS)):
        found = move(page, stop, picture)
        assert found["temperature"] == temperature and found["picture"] == picture
        t, s = ((z[picture] / temperature).softmax(0).tolist() for z in (panel.logits, panel.student_logits))
        assert found["t"] == pytest.approx(t, abs=TOLERANCE) and found["s"] == pytest.approx(s, abs=TOLERANCE)
        written = page.locator("svg .number").all_text_contents()
        assert written == [bars.short(value) for pair in zip(found["t"], found["s"], strict=True) for value in pair]


def test_the_sentence_is_pythons_at_every_stop(show, panel):
    page = show(panel.bars)
    for picture, (stop, temperature) in product(range(3), enumerate(STOPS)):
        panel.slider.value, panel.chooser.index = temperature, picture
        move(page, stop, picture)
        assert page.locator(".kdkit-bars p").inner_text() == panel.sentence
        assert f"T = {temperature:g};" in page.locator("svg[role=img]").get_attribute("aria-label")


def test_a_screen_reader_hears_the_sentence_once_the_slider_rests(show, panel):
    page = show(panel.bars)
    heard = page.locator("[aria-live=polite]")
    for stop in range(5):
        move(page, stop, 0)
    assert heard.inner_text() == ""
    heard.filter(has_text="At T = 0.6, ").wait_for(timeout=3000)


def test_the_heights_of_the_bars_are_powers_of_ten(show, panel):
    page = show(panel.bars)
    found = move(page, STOPS.index(4.0), 0)
    drawn = page.eval_on_selector_all(
        "svg .bar", "rects => rects.map(r => [Number(r.getAttribute('height')), r.getAttribute('fill')])"
    )
    scale = page.eval_on_selector_all("svg .scale", "lines => lines.map(line => Number(line.getAttribute('y1')))")
    full = max(scale) - min(scale)  # from 1e-8 to 1
    assert len(drawn) == 20 and len(scale) == 9 and full > 100
    for number, (high, fill) in enumerate(drawn):
        value = found["ts"[number % 2]][number // 2]
        assert high == pytest.approx(full * max(0, 1 + math.log10(value) / 8), abs=0.01)
        assert ("student" in fill) == (number % 2 == 1)
    assert [number for number, (_, fill) in enumerate(drawn) if "label" in fill] == [0]  # hatched: the true class


def test_the_presets(show, panel):
    page = show(panel.bars)
    for preset in PRESETS:
        page.get_by_role("button", name=f"T = {preset:g}", exact=True).click()
        assert page.locator(".kdkit-bars p").inner_text().startswith(f"At T = {preset:g}, ")
        assert page.get_by_label("state to share").input_value() == f"T={preset:g} image=0"


def test_a_state_is_taken_and_a_wrong_one_is_refused_in_place(show, panel):
    page = show(panel.bars)
    field, complaint = page.get_by_label("state to share"), page.get_by_role("alert")
    field.fill("T=0.3 image=2")
    field.press("Enter")
    assert page.evaluate("[model.get('stop'), model.get('picture')]") == [STOPS.index(0.3), 2]
    for wrong in "T=3.3 image=0", "T=4 image=3", "hot", "":
        field.fill(wrong)
        field.press("Enter")
        assert complaint.inner_text() == f'{panel.bars.state_form}; got "{wrong}"'
        assert page.evaluate("[model.get('stop'), model.get('picture')]") == [STOPS.index(0.3), 2]


def test_what_fails_is_said_in_place(show, panel):
    page = show(panel.bars)
    page.evaluate("() => { model.set('teacher', null); model.save_changes(); }")
    assert page.get_by_role("alert").first.inner_text().startswith("These bars failed:")
    page.evaluate("() => { model.set('teacher', model.get('student')); model.save_changes(); }")
    assert "These bars failed" not in page.locator(".kdkit-bars").inner_text()
    assert page.get_by_role("alert").count() == 1  # the state line's, empty


def test_words_and_cover_from_python(show):
    view = bars.Bars(classes=["a", "b"], teacher=[[1.0, 0.0]], labels=[-1], sentences=[["Guess."]], covered=True)
    view.pictures, view.caption = ["data:image/gif;base64,R0lGODlhAQABAAAAACw="], "A thing."
    page = show(view)
    assert page.locator(".kdkit-bars p").inner_text() == "Guess." and not page.locator("svg[role=img]").is_visible()
    assert page.locator("img").get_attribute("alt") == "A thing."
    assert page.get_by_label("state to share").count() == 0  # one temperature only: nothing to share
    assert page.get_by_text("the true class").count() == 0  # no label: no such bar
    page.evaluate("() => { model.set('covered', false); model.set('sentences', [['Now.']]); model.save_changes(); }")
    assert page.locator("svg[role=img]").is_visible() and page.locator(".kdkit-bars p").inner_text() == "Now."


def test_a_flip_book_turns(show):
    page = show(flipbook.Pages(pages=["<p>one</p>", "<p>two</p>"]))
    assert page.locator("#here").inner_text() == "one"
    page.evaluate("() => { model.set('page', 1); model.save_changes(); }")
    assert page.locator("#here").inner_text() == "two"


def test_the_humps_are_drawn_where_they_rest_at_every_stop(show):
    panel = HumpsPanel()
    page = show(panel.humps)
    for stop, rests in enumerate(panel.rests.values()):
        page.evaluate("stop => { model.set('stop', stop); model.save_changes(); }", stop)
        assert page.locator(".kdkit-humps p").inner_text() == panel.humps.sentences[stop]
        drawn = page.locator("path.student").evaluate_all("paths => paths.map((path) => path.getAttribute('d'))")
        width, height = map(float, page.locator("svg").get_attribute("viewBox").split()[2:])
        em = float(page.locator("svg").get_attribute("font-size"))
        assert len(drawn) == len(rests)
        for path, rest in zip(drawn, rests, strict=True):
            points = [tuple(map(float, point.split())) for point in path[1:].split("L")]
            for x, y in points:
                place, ground = -9 + 18 * x / width, height - 2 * em
                density = math.exp(-0.5 * ((place - rest.mean) / rest.deviation) ** 2) / (
                    rest.deviation * math.sqrt(2 * math.pi)
                )
                assert (ground - y) / (ground - 3 * em) * 0.5 == pytest.approx(density, abs=3e-3)


def test_a_drawing_of_humps_that_fails_says_so_in_place(show):
    page = show(HumpsPanel().humps)
    page.evaluate("() => { model.set('teacher', null); model.save_changes(); }")
    assert page.get_by_role("alert").inner_text().startswith("This drawing failed:")


def test_what_is_kept_of_the_likeliest_is_drawn_as_python_says_it_at_every_stop(show):
    logits = 3 * torch.randn(2, 400, generator=torch.Generator().manual_seed(3))
    panel = TopKPanel(logits, [f"word {number}" for number in range(400)], ["one", "other"])
    page = show(panel.bars)
    names = ("kept", "renormalised", "left-out", "tail")
    for place, stop in product(range(2), range(len(panel.kept[0]))):
        kept = panel.kept[place][stop]
        page.evaluate(
            "([s, p]) => { model.set('stop', s); model.set('place', p); model.save_changes(); }", [stop, place]
        )
        assert page.locator(".kdkit-top-k p").inner_text() == panel.bars.sentences[place][stop]
        drawn = {
            name: page.locator(f"rect.{name}").evaluate_all("all => all.map((one) => +one.getAttribute('width'))")
            for name in names
        }
        em = float(page.locator("svg").get_attribute("font-size"))
        scale = float(page.locator("svg").get_attribute("viewBox").split()[2]) - 24 * em
        tops = [probability for _, probability in panel.tops[place]]
        assert sum(drawn["kept"]) / scale == pytest.approx(kept.share, abs=1e-4)
        assert sum(drawn["renormalised"]) / scale == pytest.approx(1, abs=1e-4)
        assert [one / scale for one in drawn["left-out"]] == pytest.approx(tops[kept.k :], abs=1e-4)
        assert drawn["tail"][0] / scale == pytest.approx(kept.tail, abs=1e-4)
    page.evaluate("() => { model.set('teacher', null); model.save_changes(); }")
    assert page.get_by_role("alert").inner_text().startswith("This drawing failed:")
