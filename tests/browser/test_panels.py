"""How the panels look in JupyterLab: as wide as their place, of one size, with knobs and letters that can be seen."""

import io

import pytest
from lab import Slider, axe
from PIL import Image

PANELS = (
    """
import kdkit, torch
from kdkit import figures, zoo
from kdkit.course.widgets import *
from kdkit.data import things
teacher, student = 6 * torch.randn(2, 3, 10, generator=torch.Generator().manual_seed(5))
teacher[2, 4] = 300
images = things.make(1).images[:3]
TemperaturePanel(teacher, things.CLASSES, [0, 1, 4], student_logits=student, images=images)
""",
    'panel = MorphPanel(zoo.load("things-teacher"))\npanel.keep(0.5)\npanel',
    """
def page(n):
    return figures.lines([0, 1], {"a": [0, n]}, xlabel="x", ylabel="y"), f"It ends at {n}. " + "More. " * 60 * (n % 2)
FlipBook({f"page {n}": page(n) for n in (1, 2, 3)}, "Page")
""",
    "HumpsPanel()",
    "ShapePanel(lambda layers, flops: 1e-3 * layers + 1e-12 * flops, tokens=16)",
    """
logits = 3 * torch.randn(2, 400, generator=torch.Generator().manual_seed(5))
TopKPanel(logits, [f"word {n}" for n in range(400)], ["one", "other"])
""",
)
TEMPERATURE, MORPH, BOOK, HUMPS, SHAPE, TOP_K = range(6)
POINTS = 96 / 72  # pixels a point

# The smallest letters of a panel, in pixels as they are shown, and the words in them.
SMALLEST = """panel => {
    const walker = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT), found = [];
    while (walker.nextNode()) {
        const parent = walker.currentNode.parentElement, svg = parent.closest('svg');
        if (!walker.currentNode.textContent.trim() || parent.tagName === 'STYLE') continue;
        const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
        found.push([scale * parseFloat(getComputedStyle(parent).fontSize), walker.currentNode.textContent]);
    }
    return found.sort((a, b) => a[0] - b[0])[0];
}"""


@pytest.fixture(scope="module")
def shown(lab):
    """A notebook with one panel of each kind, run."""
    notebook = lab.write("panels.ipynb", *PANELS)
    notebook.run_all()
    notebook.page.locator(".kdkit-panel").nth(len(PANELS) - 1).wait_for()
    yield notebook
    notebook.check()
    notebook.close()


@pytest.fixture
def at(shown):
    """``at(width, height)``: the panels in a window of that size."""

    def resize(width, height):
        shown.page.set_viewport_size({"width": width, "height": height})
        shown.page.wait_for_timeout(500)
        panels = shown.page.locator(".kdkit-panel").all()
        assert len(panels) == len(PANELS)
        return panels

    yield resize
    resize(1280, 900)


def right_edge(element):
    box = element.bounding_box()
    return box["x"] + box["width"]


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080)])
def test_the_panels_use_the_width_of_their_place(at, width, height):
    for panel in at(width, height):
        place = panel.bounding_box()
        assert place["width"] > 0.85 * width
        for part in panel.locator(
            ".widget-slider, .kdkit-bars svg, .kdkit-humps svg, .kdkit-top-k svg, .kdkit-page img, table"
        ).all():
            assert right_edge(part) >= place["x"] + 0.97 * place["width"]


def test_a_panel_grows_with_the_browsers_zoom(at, shown):
    """Zoom leaves a page fewer pixels, each of them larger: letters keep theirs, and nothing juts out."""
    for panel in at(1280 // 2, 800 // 2):
        assert panel.evaluate(SMALLEST)[0] >= 11 * POINTS
        assert panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth + 1")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080)])
def test_no_letters_of_a_panel_are_smaller_than_11_points(at, width, height):
    assert [panel.evaluate(SMALLEST) for panel in at(width, height) if panel.evaluate(SMALLEST)[0] < 11 * POINTS] == []


# In a window as wide as these, some sentences of the panel want a line more than others.
@pytest.mark.parametrize(
    ("number", "width", "stops", "pause"),
    [
        (TEMPERATURE, 960, 32, 20),
        (MORPH, 1240, 51, 100),
        (BOOK, 900, 3, 20),
        (HUMPS, 960, 13, 20),
        (SHAPE, 920, 7, 20),
        (TOP_K, 920, 10, 20),
    ],
)
def test_a_panel_keeps_its_size_when_its_sentence_changes(at, shown, number, width, stops, pause):
    panel = at(width, 800)[number]
    sentence, sizes, lengths = panel.locator("p").first, set(), set()
    for slider in map(Slider, panel.get_by_role("slider").all()):
        for key in ["Home", *["ArrowRight"] * (stops - 1)]:
            slider.press(key)
            shown.page.wait_for_timeout(pause)
            box = panel.bounding_box()
            sizes.add((box["width"], box["height"]))
            lengths.add(len(sentence.inner_text()))
    assert len(sizes) == 1 and len(lengths) > 1


def test_a_screen_reader_hears_what_a_slider_is_and_where_it_stands(at, shown):
    said = [["Temperature 0.2", "How far 0.00", "Page page 1", "Beta 0, forward KL", "Depth, layers 1", "Width 64"]]
    said[0].append("Tokens kept, k 1")
    said.append(["Temperature 0.3", "How far 0.02", "Page page 2", "Beta 0.05", "Depth, layers 2", "Width 128"])
    said[1].append("Tokens kept, k 2")
    sliders = [slider for panel in at(1280, 800) for slider in panel.get_by_role("slider").all()]
    for key, wanted in zip(("Home", "ArrowRight"), said, strict=True):
        for slider, words in zip(sliders, wanted, strict=True):
            Slider(slider).press(key)
            shown.page.wait_for_timeout(200)
            assert f"{slider.get_attribute('aria-label')} {slider.get_attribute('aria-valuetext')}" == words
            assert slider.get_attribute("data-lm-suppress-shortcuts") == "true"  # Notebook 7 would take the arrow keys


def luminance(colour):
    """WCAG 2: how bright a colour (red, green, blue from 0 to 255) is, from 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour[:3])]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_by_hand():
    assert contrast((255, 255, 255), (0, 0, 0)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


# The colours of the letters in a panel's drawings, as [red, green, blue]; axe-core does not look at these.
INKS = """panel => [...panel.querySelectorAll('svg text')].map(letters => {
    const context = document.createElement('canvas').getContext('2d');
    context.fillStyle = getComputedStyle(letters).fill;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
})"""


def test_the_letters_in_drawings_stand_out_from_the_white_around_them(at):
    panels = at(1280, 800)
    Slider(panels[HUMPS].get_by_role("slider")).press("End")  # three students, a colour each
    inks = [ink for panel in panels for ink in panel.evaluate(INKS)]
    assert len(inks) > 50 and len({tuple(ink) for ink in inks}) >= 3
    assert min(contrast(ink, (255, 255, 255)) for ink in inks) >= 4.5


@pytest.fixture
def themed(shown):
    """``themed("Dark")``: JupyterLab in that theme."""

    def change(theme):
        command = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
        shown.page.evaluate(command, f"JupyterLab {theme}")
        shown.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light", arg=str(theme == "Light").lower()
        )
        shown.page.wait_for_timeout(500)

    yield change
    change("Light")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_a_sliders_knob_is_seen_without_the_focus(at, shown, themed, theme):
    panels = at(1280, 800)
    themed(theme)
    for knob in [knob for panel in panels for knob in panel.get_by_role("slider").all()]:
        knob.scroll_into_view_if_needed()
        knob.press("Home")
        for _ in range(2):
            knob.press("ArrowRight")  # away from the end, so that the track lies on both sides
        knob.evaluate("knob => knob.blur()")
        shown.page.mouse.move(0, 0)
        shown.page.wait_for_timeout(300)
        box = knob.bounding_box()
        clip = {"x": box["x"] - 10, "y": box["y"] - 4, "width": box["width"] + 20, "height": box["height"] + 8}
        pixels = Image.open(io.BytesIO(shown.page.screenshot(clip=clip))).convert("RGB")
        middle = (pixels.width // 2, pixels.height // 2)
        around = {"above": (middle[0], 0), "track": (2, middle[1])}
        for where, place in around.items():
            assert contrast(pixels.getpixel(middle), pixels.getpixel(place)) >= 3, where


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_axe_finds_no_violation_of_wcag_2_2_aa_in_the_panels(at, shown, themed, packages, theme):
    at(1280, 800)
    themed(theme)
    assert axe(shown.page, packages, ".kdkit-panel") == []
