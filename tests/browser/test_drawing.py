"""The network in the browser against torch's, and the sheet to draw on: pen, keys, undo, and what is answered."""

import base64

import pytest
import torch
from lab import ROOT

from kdkit import models, zoo
from kdkit.course.widgets import DrawingPanel
from kdkit.course.widgets.convnet import in_browser
from kdkit.data import things
from kdkit.measure import metrics

TOLERANCE = 1e-4
ANSWER = """([made, images, count]) => {
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const network = readNetwork(made.layers, new DataView(bytes(made.weights).buffer), made.half), all = bytes(images);
    const size = all.length / count;
    return Array.from({ length: count }, (_, k) => logitsOf(network, all.subarray(k * size, (k + 1) * size)));
}"""


def encoded(data):
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def answers(lab):
    """``answers(network, images)``: the logits that convnet.js computes in Chromium."""
    page = lab.browser.new_page()
    page.add_script_tag(path=ROOT / "kdkit" / "course" / "widgets" / "convnet.js")

    def ask(network, images):
        made = in_browser(network)
        made["weights"] = encoded(made["weights"])
        return torch.tensor(page.evaluate(ANSWER, [made, encoded(images.numpy().tobytes()), len(images)]))

    yield ask
    page.close()


def scribbles(count):
    """Plain sheets with a few bars in colours of their own, as from a pen."""
    random = torch.Generator().manual_seed(3)
    sheets = torch.randint(256, (count, 3, 1, 1), dtype=torch.uint8, generator=random).repeat(1, 1, 32, 32)
    for sheet in sheets:
        for _ in range(6):
            x, y, wide, high = torch.randint(1, 16, (4,), generator=random).tolist()
            colour = torch.randint(256, (3, 1, 1), dtype=torch.uint8, generator=random)
            sheet[:, y : y + high, x : x + wide] = colour
    return sheets


def test_the_teacher_in_the_browser_answers_1000_pictures_as_torch_does(answers):
    teacher = zoo.load("things-teacher")
    pairs = [("chair", "armchair"), ("lamp", "tree"), ("mushroom", "umbrella"), ("stool", "table"), ("sofa", "bottle")]
    morphs = [things.morph(*pair, torch.linspace(0, 1, 50), seed=seed) for seed, pair in enumerate(pairs)]
    images = torch.cat([things.make(50, seed=77).images, *morphs, scribbles(250)])
    found, wanted = answers(teacher, images), metrics.predict(teacher, images)
    assert len(images) == 1000 and wanted.abs().max() > 10
    assert (found - wanted).abs().max() < TOLERANCE


@pytest.mark.parametrize(("width", "depth", "size"), [(4, 1, 32), (4, 2, 32), (8, 3, 29), (4, 7, 32)])
def test_any_network_of_the_course_does_whatever_its_norms_have_learnt(answers, width, depth, size):
    network, random = models.student(width, depth), torch.Generator().manual_seed(depth)
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        for values in (norm.weight.data, norm.bias.data, norm.running_mean):
            values.copy_(torch.randn(len(values), generator=random))  # negative scales, too
    images = torch.randint(256, (4, 3, size, size), dtype=torch.uint8, generator=random)
    assert torch.allclose(answers(network, images), metrics.predict(network, images), atol=TOLERANCE)


# ------------------------------------------------------------------------------------------ the sheet

NUMBERS = "document.querySelector('.kdkit-bars').numbers.t"
DRAWN = "Array.from(document.querySelector('.kdkit-drawing').drawn())"


@pytest.fixture
def sheet(visit):
    page = visit("draw")
    page.locator(".kdkit-bars p").filter(has_text="At T = 1: chair").wait_for(timeout=15_000)
    return page


def drawn(page):
    return torch.tensor(page.evaluate(DRAWN), dtype=torch.uint8).reshape(3, 32, 32)


def check_the_answer(page):
    """What the bars show is what torch says to these pixels."""
    page.wait_for_timeout(300)
    soft = metrics.predict(zoo.load("things-teacher"), drawn(page)[None])[0].softmax(0)
    assert page.evaluate(NUMBERS) == pytest.approx(soft.tolist(), abs=1e-5)


def test_each_stroke_is_answered_and_can_be_taken_back(sheet):
    before, canvas = drawn(sheet), sheet.locator(".kdkit-drawing canvas")
    assert torch.equal(before, DrawingPanel(zoo.load("things-teacher")).image)
    check_the_answer(sheet)
    box = canvas.bounding_box()
    sheet.get_by_role("button", name="red").click()
    sheet.get_by_role("button", name="4 pixels").click()
    sheet.mouse.move(box["x"] + 30, box["y"] + box["height"] - 30)
    sheet.mouse.down()
    sheet.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] - 30, steps=5)
    sheet.mouse.up()
    red = (drawn(sheet) == torch.tensor([0xC8, 0x44, 0x2E], dtype=torch.uint8)[:, None, None]).all(0)
    assert 4 * 20 < red.sum() < 4 * 32
    check_the_answer(sheet)
    sheet.get_by_role("button", name="Undo").click()
    assert torch.equal(drawn(sheet), before)
    check_the_answer(sheet)


def test_the_keys_draw_as_well(sheet):
    before, canvas = drawn(sheet), sheet.locator(".kdkit-drawing canvas")
    sheet.get_by_role("button", name="1 pixel").click()
    canvas.focus()
    for keys in ("ArrowLeft", "Space", "ArrowDown", "Shift+ArrowDown", "Shift+ArrowDown"):
        sheet.keyboard.press(keys)
    changed = (drawn(sheet) != before).any(0).nonzero().tolist()
    assert {tuple(place) for place in changed} <= {(16, 15), (17, 15), (18, 15), (19, 15)} and len(changed) >= 3
    assert sheet.locator(".kdkit-heard").inner_text() == "column 16, row 20, painted"
    check_the_answer(sheet)
    sheet.keyboard.press("Control+z")
    assert not torch.equal(drawn(sheet), before)
    for _ in range(2):
        sheet.keyboard.press("Control+z")
    assert torch.equal(drawn(sheet), before)


def test_a_sheet_can_be_cleared_and_begun_from_another_thing(sheet):
    sheet.get_by_role("button", name="Clear").click()
    assert drawn(sheet).flatten(1).unique(dim=1).shape == (3, 1)
    check_the_answer(sheet)
    sheet.get_by_label("Start from a drawn").select_option("mushroom")
    sheet.get_by_role("button", name="Start", exact=True).click()
    assert torch.equal(drawn(sheet), DrawingPanel(zoo.load("things-teacher"), "mushroom").image)
    check_the_answer(sheet)
    assert "To the network: mushroom" in sheet.locator(".kdkit-sheet p").inner_text()
    assert sheet.get_by_text("A drawing is not what the network was trained on.").is_visible()


def test_in_the_notebook_each_stroke_reaches_the_bars_and_the_kernel(lab):
    teacher = zoo.load("things-teacher")
    notebook = lab.write(
        "drawing.ipynb",
        "from kdkit import zoo\nfrom kdkit.course.widgets import DrawingPanel\n"
        'panel = DrawingPanel(zoo.load("things-teacher"))\npanel',
        "print(panel.image.flatten(1).unique(dim=1).flatten().tolist(), round(panel.logits[0].item(), 3))",
    )
    notebook.run_all()
    words = notebook.page.locator(".kdkit-bars p")
    words.filter(has_text="At T = 1: chair 1.000, stool").wait_for()
    notebook.page.get_by_role("button", name="Clear").click()
    words.filter(has_not_text="At T = 1: chair 1.000, stool").wait_for(timeout=10_000)
    notebook.page.wait_for_timeout(1000)
    colour = [0xF4, 0xE3, 0xBD]
    sheet = torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(1, 3, 32, 32)
    logit = round(metrics.predict(teacher, sheet)[0, 0].item(), 3)
    assert notebook.run_cell("print(panel").strip() == f"{colour} {logit}"
    notebook.check()
    notebook.close()
