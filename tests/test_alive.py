"""What panels hand to a web page without a kernel, and the drawing panel's Python side."""

import base64
import html
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from kdkit import figures, models, zoo
from kdkit.course.widgets import (
    DrawingPanel,
    FlipBook,
    HumpsPanel,
    MorphPanel,
    ShapePanel,
    TemperaturePanel,
    TopKPanel,
    shape,
)
from kdkit.course.widgets.convnet import in_browser
from kdkit.course.widgets.panel import Panel
from kdkit.data import things
from kdkit.measure import metrics
from tools import alive

LOGITS = torch.tensor([[4.0, 2.5, -6.0], [1.0, 3.0, 0.5]])


def page(panel):
    """What stands in the panel's HTML for a page's script; None where there is nothing."""
    found = re.search(
        r"<div class=\"kdkit-alive\" data-alive='([^']*)'></div>$", panel._repr_mimebundle_()["text/html"]
    )
    return found and json.loads(html.unescape(found[1]))


def test_a_temperature_panels_page_has_its_controls_in_order_and_the_links_between_them():
    panel = TemperaturePanel(LOGITS, ["a", "it's <b>", "c"], [0, 1], temperature=4.0)
    found = page(panel)
    assert [part["kind"] for part in found["parts"]] == ["menu", "slider", "bars"]
    menu, slider, bars = found["parts"]
    assert menu["options"] == ["0: a", "1: it's <b>"] and slider["options"][slider["index"]] == "4"
    assert bars["state"]["teacher"] == LOGITS.tolist() and bars["state"]["sentences"] == panel.bars.sentences
    assert found["links"] == [[1, "index", 2, "stop"], [0, "index", 2, "picture"]]


def test_flip_books_humps_and_bars_of_tokens_are_alive():
    book = FlipBook(
        {name: (figures.lines([0, 1], {"a": [0, 1]}, xlabel="x", ylabel="y"), name) for name in "ab"}, "Page"
    )
    assert [part["kind"] for part in page(book)["parts"]] == ["slider", "pages"]
    assert page(book)["parts"][1]["state"]["pages"] == book.pages.pages
    assert [part["kind"] for part in page(HumpsPanel())["parts"]] == ["slider", "humps"]
    words = [f"word {number}" for number in range(20)]
    both, one = (TopKPanel(torch.arange(20.0).expand(n, -1), words, ["so", "or"][:n]) for n in (2, 1))
    assert [part["kind"] for part in page(both)["parts"]] == ["menu", "slider", "topkbars"]
    assert page(both)["links"] == [[0, "index", 2, "place"], [1, "index", 2, "stop"]]
    assert [part["kind"] for part in page(one)["parts"]] == ["slider", "topkbars"]


def test_every_panel_has_a_view_on_the_site_and_one_without_links_stays_a_picture(monkeypatch):
    monkeypatch.setattr(shape, "DEPTHS", (1, 2))
    monkeypatch.setattr(shape, "WIDTHS", (64,))
    found = page(ShapePanel(lambda layers, operations: 1e-3 * layers, depth=2, width=64))
    assert [part["kind"] for part in found["parts"]] == ["slider", "slider", "shapes"]
    assert {"shapes", "topkbars", "humps", "pages", "bars", "canvas", "morph"} <= alive.views().keys()
    assert Panel([]).alive() is None


def test_a_morphs_page_holds_each_frame_and_what_the_network_said_to_it():
    panel = MorphPanel(zoo.load("things-teacher"), "stool", "table")
    morph, bars = page(panel)["parts"]
    content = base64.b64decode(morph["state"]["strips"]["stool-table"].split(",")[1])
    frames = np.asarray(Image.open(io.BytesIO(content))).reshape(51, 32, 32, 3)
    assert torch.equal(torch.tensor(frames).permute(0, 3, 1, 2), panel.images)
    assert torch.allclose(torch.tensor(morph["state"]["logits"]["stool-table"]), panel.scan, atol=1e-5)
    assert morph["state"]["guessing"] and bars["kind"] == "bars"


def test_the_drawing_panel_begins_with_a_thing_and_knows_what_is_drawn():
    network = zoo.load("things-teacher")
    panel = DrawingPanel(network, start="sofa")
    assert torch.equal(panel.image, things.make(1, seed=5).images[things.CLASSES.index("sofa")])
    assert torch.allclose(panel.logits, metrics.predict(network, panel.image[None])[0], atol=1e-5)
    drawn = torch.randint(256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    panel.canvas.pixels = drawn.numpy().tobytes()  # as the browser sends it
    assert torch.equal(panel.image, drawn)
    assert re.search(r'<img [^>]*alt="A drawn thing of 32 by 32 pixels', panel.still())


def test_its_page_names_the_network_by_its_fingerprint_and_does_not_carry_it():
    network = zoo.load("things-teacher")
    found = page(DrawingPanel(network))
    assert [part["kind"] for part in found["parts"]] == ["canvas", "slider", "bars"]
    state = found["parts"][0]["state"]
    assert state["network"] == models.fingerprint(network) and "weights" not in state
    assert sorted(link[1] + ">" + link[3] for link in found["links"]) == [
        "index>stop",
        "logits>teacher",
        "sentences>sentences",
    ]


def test_what_cannot_be_drawn_for_is_refused():
    with pytest.raises(ValueError, match=r"start must be one of chair, .*; got 'cat'\."):
        DrawingPanel(zoo.load("things-teacher"), start="cat")
    with pytest.raises(ValueError, match="the network must know the 10 things"):
        DrawingPanel(models.student(4, 3, classes=3))
    with pytest.raises(ValueError, match=r"only networks that kdkit\.models has built .*; got Linear\."):
        DrawingPanel(torch.nn.Linear(2, 2))


def test_weights_go_in_half_precision_only_where_that_changes_none():
    shipped, fresh = in_browser(zoo.load("things-teacher")), in_browser(models.student(4, 5))
    assert shipped["half"] and not fresh["half"]
    layer = shipped["layers"][0]
    first = np.frombuffer(shipped["weights"], "<f2", layer["after"] * layer["before"] * layer["kernel"] ** 2)
    assert torch.equal(torch.tensor(first).float(), zoo.load("things-teacher").whiten.weight.flatten())
