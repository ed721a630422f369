"""The temperature panel over its whole range, without a browser."""

import re

import ipywidgets
import pytest
import torch

from kdkit.data.things import CLASSES
from kdkit.widgets import TemperaturePanel, svg
from kdkit.widgets.temperature import STOPS

LOGITS = torch.tensor([6.0, 4.0, 1.0, 0.5, -1.0, -6.0, -2.0, -3.0, -4.0, -5.0])


@pytest.fixture
def panel():
    return TemperaturePanel(LOGITS, CLASSES, label=0)


@pytest.mark.parametrize("stop", STOPS)
def test_bars_and_sentence_are_softmax_of_logits_over_t(panel, stop):
    panel.slider.value = stop
    expected = torch.softmax(LOGITS.double() / stop, 0)
    assert torch.allclose(panel.probabilities, expected)
    assert f"At T = {stop:g}: chair {expected[0]:.2g}, armchair {expected[1]:.2g}" in panel.picture.value
    assert f"least mushroom {expected.min():.2g}" in panel.picture.value
    heights = [float(height) for height in re.findall(r'height="([\d.]+)" fill="(?:url|#56B4E9)', panel.picture.value)]
    full = svg.HEIGHT - svg.TOP - svg.BOTTOM
    drawn = [10 ** (svg.FLOOR * (1 - height / full)) for height in heights]
    for height, wanted in zip(drawn, expected.tolist(), strict=True):
        assert height == pytest.approx(max(wanted, 10.0**svg.FLOOR), rel=0.05)


def test_entropy_in_the_sentence(panel):
    panel.slider.value = 20.0
    p = torch.softmax(LOGITS.double() / 20, 0)
    assert f"Entropy {-(p * p.log2()).sum():.2f} bits" in panel.sentence


def test_the_picture_says_in_words_what_it_shows(panel):
    assert f'aria-label="{panel.sentence}"'.replace("'", "&#x27;") in panel.picture.value
    assert 'role="img"' in panel.picture.value


def test_the_true_class_is_marked_by_more_than_colour(panel):
    assert panel.picture.value.count('fill="url(#kdkit-hatch)"') == 1


def test_the_slider_has_a_description(panel):
    assert panel.slider.description == "Temperature" and isinstance(panel.slider, ipywidgets.SelectionSlider)


def test_an_error_in_the_callback_shows_where_the_reader_looks(panel):
    panel.classes = ("one", "name")
    panel.slider.value = 2.0
    assert 'role="alert"' in panel.picture.value and "This slider failed" in panel.picture.value


def test_a_page_without_a_kernel_gets_a_still_picture_with_its_text(panel):
    still = panel._repr_mimebundle_()["text/html"]
    assert still.startswith(f'<img alt="{panel.sentence}"') and "data:image/png;base64," in still


def test_repr_is_stable_and_readable(panel):
    assert repr(panel) == f"TemperaturePanel({panel.sentence})"


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.zeros(3), r"\[10\] for 10 classes; got \[3\]"),
        (torch.zeros(1, 10), r"got \[1, 10\]"),
        ([0.0] * 10, "got list"),
    ],
)
def test_logits_that_are_not_those_of_one_image_are_refused(logits, message):
    with pytest.raises(ValueError, match=message):
        TemperaturePanel(logits, CLASSES)


def test_impossible_probabilities_do_not_break_the_scale():
    drawn = svg.probability_bars([1.0, 0.0], ["a", "<b>"], alt="x & y")
    assert "<b>" not in drawn and "x &amp; y" in drawn
