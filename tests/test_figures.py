"""Pictures carry a text, are drawn without pyplot's global state, and show what they are given."""

import base64
import io
from types import SimpleNamespace

import matplotlib.image
import pytest
import torch
from IPython.utils.capture import capture_output

from kdkit import figures
from kdkit.data.things import CLASSES


def some_figure():
    return figures.soft_target(torch.softmax(torch.arange(10.0), 0), CLASSES, label=9)


@pytest.mark.parametrize("alt", ["", "  ", None])
def test_a_picture_without_a_text_is_refused(alt):
    with pytest.raises(ValueError, match="needs a text for those who cannot see it"):
        figures.show(some_figure(), alt=alt)


def test_tag_holds_the_escaped_text_and_a_readable_picture():
    tag = figures.image_tag(some_figure(), 'bars "high" < low')
    assert tag.startswith('<img alt="bars &quot;high&quot; &lt; low" src="data:image/png;base64,')
    picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(tag.split("base64,")[1].split('"')[0])))
    assert picture.shape[0] > 200 and picture.shape[1] > 600 and picture.std() > 0


def test_soft_target_draws_each_probability_and_hatches_the_label():
    p = torch.softmax(torch.arange(10.0), 0)
    bars = figures.soft_target(p, CLASSES, label=3).axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx(p.tolist())
    assert [bool(bar.get_hatch()) for bar in bars] == [number == 3 for number in range(10)]


def test_a_probability_of_zero_does_not_break_the_log_scale():
    low, high = figures.soft_target([1.0, 0.0], ["a", "b"]).axes[0].get_ylim()
    assert 0 < low < high


def test_every_run_gets_its_curve():
    runs = {str(n): SimpleNamespace(history=[{"epoch": 1, "val_accuracy": 0.5}]) for n in range(5)}
    assert len(figures.learning_curves(runs).axes[0].lines) == 5


def test_curves_differ_by_more_than_colour():
    runs = {n: SimpleNamespace(history=[{"epoch": 1, "val_accuracy": 0.5}]) for n in ("alone", "distilled")}
    first, second = figures.learning_curves(runs).axes[0].lines
    assert first.get_marker() != second.get_marker() and first.get_linestyle() != second.get_linestyle()


def test_no_text_is_smaller_than_nine_points():
    for figure in some_figure(), figures.pairs([0.1, 0.2], [0.3, 0.1], ["a", "b"]):
        figure.draw_without_rendering()
        sizes = [text.get_fontsize() for axis in figure.axes for text in axis.findobj(match=matplotlib.text.Text)]
        assert min(sizes) >= 9


def test_no_figure_is_left_open_in_pyplot():
    from matplotlib import pyplot

    with capture_output():
        figures.show(some_figure(), alt="ten bars")
    assert pyplot.get_fignums() == []


def test_pictures_takes_grey_and_colour():
    for channels in 1, 3:
        grid = figures.pictures(torch.zeros(7, channels, 32, 32, dtype=torch.uint8), list("abcdefg"), columns=4)
        assert len(grid.axes) == 8 and [axis.get_title() for axis in grid.axes[:7]] == list("abcdefg")
