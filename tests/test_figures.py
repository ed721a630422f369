"""Pictures carry a text, are drawn without pyplot's global state, and show what they are given."""

import base64
import functools
import io
import math
import statistics
from itertools import combinations, pairwise
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
import torch
from IPython.utils.capture import capture_output
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import linkage

from kdkit import studies, zoo
from kdkit.course import figures, measured
from kdkit.course.figures.axes import contrast
from kdkit.data import things
from kdkit.data.things import CLASSES
from kdkit.measure import metrics
from kdkit.measure.metrics import paired_interval
from kdkit.measure.profiling import Spread
from kdkit.models import bert


def some_figure():
    return figures.soft_target(torch.softmax(torch.arange(10.0), 0), CLASSES, label=9)


@pytest.mark.parametrize(("figure", "alt"), [(some_figure(), ""), (some_figure(), "  "), (Figure(), None)])
def test_a_picture_without_a_text_is_refused(figure, alt):
    with pytest.raises(ValueError, match="needs a text for those who cannot see it"):
        figures.show(figure, alt=alt)


def test_a_figure_says_its_title_and_its_numbers_unless_told_otherwise():
    curves = {"a": [1, 5, 3], "b": [4, 2, 4]}
    figure = figures.lines([1, 2, 4], curves, xlabel="T", ylabel="gain", title="a peaks at 2.", marks={"here": 3})
    said = "a peaks at 2. gain over T: a from 1 to 3, highest 5 at 2; b from 4 to 4, lowest 2 at 2. Marked at 3: here."
    assert f'<img alt="{said}"' in figures.image_tag(figure) and figure.get_suptitle() == "a peaks at 2."
    assert '<img alt="in short"' in figures.image_tag(figure, "in short")
    with pytest.raises(ValueError, match="title must be a text"):
        (figures.layer(some_trace(), ["a", "b", "c"], 1, says=({"x": 0.5}, {"y": 0.75}), title="It looks at b"),)
        figures.tree(linkage([[0.0], [0.1], [5.0]], "average"), "abc", title=3)


def test_tag_holds_the_escaped_text_and_a_readable_picture():
    tag = figures.image_tag(some_figure(), 'bars "high" < low')
    assert tag.startswith('<img alt="bars &quot;high&quot; &lt; low" src="data:image/png;base64,')
    picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(tag.split("base64,")[1].split('"')[0])))
    assert picture.shape[0] > 200 and picture.shape[1] > 600 and picture.std() > 0


def test_soft_target_draws_each_probability_and_hatches_the_label():
    p = torch.softmax(torch.arange(10.0), 0)
    axis = figures.soft_target(p, CLASSES, label=3).axes[0]
    assert [bar.get_width() for bar in axis.patches] == pytest.approx(p.tolist())
    assert [bool(bar.get_hatch()) for bar in axis.patches] == [number == 3 for number in range(10)]
    names = [tick.get_text() for tick in axis.get_yticklabels()]
    assert names == [*CLASSES[:3], f"label: {CLASSES[3]}", *CLASSES[4:]]


@pytest.mark.parametrize("least", [0.2, 1e-3, 1e-9])
def test_no_tick_stands_where_there_is_no_probability(least):
    axis = figures.soft_target([1 - least, least], ["a", "b"]).axes[0]
    ticks = axis.get_xticks()
    assert len(ticks) >= 4 and max(ticks) <= 1 and not len(axis.get_xticks(minor=True))
    assert axis.get_xlim()[1] > 10 and axis.spines["bottom"].get_bounds()[1] == 1


def test_a_ranking_begins_with_the_highest_and_writes_the_numbers():
    figure = figures.ranking({"table": 1.84, "tree": 10.6}, xlabel="mushroom, %", title="Trees lead")
    axis = figure.axes[0]
    assert [bar.get_width() for bar in axis.patches] == [10.6, 1.84]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["tree", "table"]
    assert [text.get_text() for text in axis.texts] == ["11", "1.8"] and axis.yaxis_inverted()
    assert figure.get_label() == "Trees lead. mushroom, %: tree 11, table 1.8."
    with pytest.raises(ValueError, match="values must be at least 0; got -1"):
        figures.ranking({"tree": -1.0}, xlabel="x")


def test_a_probability_of_zero_does_not_break_the_log_scale():
    low, high = figures.soft_target([1.0, 0.0], ["a", "b"]).axes[0].get_xlim()
    assert 0 < low < high


def test_a_table_reads_the_same_on_the_page_and_in_a_terminal():
    table = figures.Table({"teacher": {"accuracy": "89.2%", "<T>": "1"}, "a": {"accuracy": "7.0%", "<T>": "10"}})
    assert repr(table).splitlines() == ["         accuracy  <T>", "teacher     89.2%    1", "a            7.0%   10"]
    assert '<th scope="col">&lt;T&gt;</th>' in table._repr_html_()
    assert '<tr><th scope="row">a</th><td>7.0%</td><td>10</td></tr>' in table._repr_html_()


def test_no_two_curves_look_alike_in_colour_marker_or_line_and_five_seeds_have_one_each():
    assert len(figures.LOOKS) >= 5
    for part in "color", "marker", "linestyle":
        assert len({look[part] for look in figures.LOOKS}) == len(figures.LOOKS)


def test_every_run_gets_its_curve():
    runs = {str(n): SimpleNamespace(history=[{"epoch": 1, "val_accuracy": 0.5}]) for n in range(5)}
    assert len(figures.learning_curves(runs).axes[0].lines) == 5


def test_curves_differ_by_more_than_colour():
    runs = {n: SimpleNamespace(history=[{"epoch": 1, "val_accuracy": 0.5}]) for n in ("alone", "distilled")}
    first, second = figures.learning_curves(runs).axes[0].lines
    assert first.get_marker() != second.get_marker() and first.get_linestyle() != second.get_linestyle()


def test_a_student_stands_beside_in_another_pattern():
    p, q = torch.softmax(torch.arange(10.0), 0), torch.full((10,), 0.1)
    axis = figures.soft_target(p, CLASSES, label=3, student=q).axes[0]
    teacher, student = axis.patches[:10], axis.patches[10:]
    assert [bar.get_width() for bar in student] == pytest.approx(q.tolist())
    assert all(bar.get_hatch() == ".." for bar in student)
    assert all(
        one.get_y() + one.get_height() <= other.get_y() + 1e-9 for one, other in zip(teacher, student, strict=True)
    )


def test_hard_and_soft_has_the_label_the_target_and_the_target_without_the_label_magnified():
    p = torch.tensor([0.7, 0.25, 0.05])
    label, soft, small = figures.hard_and_soft(p, ["a", "b", "c"], label=0).axes
    for axis, heights in (label, [1, 0, 0]), (soft, p.tolist()), (small, [0, 0.25, 0.05]):
        assert [bar.get_width() for bar in axis.patches] == pytest.approx(heights)
    assert label.get_xlim() == pytest.approx((0, 1.05)) and small.get_xlim() == pytest.approx((0, 0.2625))
    assert "4 times" in small.get_title()


def test_matrix_writes_powers_of_ten_and_no_minus_zero():
    axis = figures.matrix(torch.tensor([[0.999, 0.001], [1e-20, 1.0]]), ["a", "b"]).axes[0]
    assert [text.get_text() for text in axis.texts] == ["0", "-3.0", "-12.0", "0"]


def test_tree_names_every_class():
    joined = linkage([[0.0], [0.1], [5.0]], "average")
    assert {text.get_text() for text in figures.tree(joined, "abc").axes[0].get_yticklabels()} == set("abc")


def test_lines_draw_what_they_are_given_with_marks_and_log_axes():
    curves = {"a": [1, 2], "b": [3, 4]}
    axis = figures.lines([1, 10], curves, xlabel="x", ylabel="y", log="xy", marks={"here": 3}).axes[0]
    assert [line.get_ydata().tolist() for line in axis.lines[:2]] == [[1, 2], [3, 4]]
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log") and list(axis.lines[2].get_xdata()) == [3, 3]
    assert [text.get_text() for text in axis.texts] == ["here", "a", "b"] and axis.get_legend() is None


def test_names_at_the_ends_of_curves_keep_their_order_and_do_not_meet():
    ends = {"low": 0.1, "middle": 0.1001, "same": 0.1002, "high": 0.9}
    figure = figures.lines([1, 2], {name: [0.5, end] for name, end in ends.items()}, xlabel="x", ylabel="y")
    figures.image_tag(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert [text.get_text() for text in figure.axes[0].texts] == list(ends)
    assert all(one.y1 <= other.y0 + 2 for one, other in pairwise(boxes))
    top = figure.axes[0].transData.transform((2, 0.9))[1]
    assert boxes[3].y0 < top < boxes[3].y1, "one that meets no other stands at its end"


def test_pairs_that_rise_and_fall_look_otherwise_and_the_title_counts_them():
    figure = figures.pairs({"alone": [0.5, 0.6], "distilled": [0.7, 0.55]})
    assert figure.get_suptitle() == "Distilled is higher in 1 of 2 pairs"
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", "--", "-"]
    assert list(figure.axes[0].lines[2].get_ydata()) == pytest.approx([55, 62.5])
    assert "from alone to distilled: 50.0 to 70.0, 60.0 to 55.0." in figure.get_label()
    with pytest.raises(ValueError, match="two arms to be compared"):
        figures.pairs({"alone": [0.5]})


def test_gains_are_means_with_their_intervals():
    pair = paired_interval([0.52, 0.53, 0.54], baseline=[0.5, 0.5, 0.5])
    axis = figures.gains([1, 4], {"a": [pair, pair]}, title="title", ylim=(-1, 9)).axes[0]
    bars, _ = axis.containers
    low, high = bars.lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((100 * pair.low, 100 * pair.high)) and axis.get_ylim() == (-1, 9)


def test_scatter_names_the_points_that_it_is_told_to():
    axis = figures.scatter([1, 2], [0.1, 0.2], ["one", "two"], xlabel="x", ylabel="y", named=[1]).axes[0]
    assert [text.get_text() for text in axis.texts] == ["two"] and len(axis.collections[0].get_offsets()) == 2


def likeness_of_things():
    """Notebook 01: how alike the teacher finds two classes, over the share of parts that they have in common."""
    test = things.make(per_class=300, seed=101)
    logits = metrics.predict(zoo.load("things-teacher"), test.images)
    soft = metrics.mean_soft_targets(logits, test.labels, temperature=4.0)
    first, second = torch.triu_indices(10, 10, offset=1)
    seen = ((soft + soft.T) / 2)[first, second]
    names = [f"{CLASSES[a]} and {CLASSES[b]}" for a, b in zip(first, second, strict=True)]
    return things.part_overlap()[first, second], seen, names, [*seen.argsort()[-4:], names.index("chair and sofa")]


def quickness_of_shapes():
    """Notebook 05: the milliseconds of sixteen shapes of student over their accuracy."""
    learnt = measured.load("shapes-learnt")
    ms = {(r["width"], r["depth"]): 1000 * statistics.median(r["seconds"]) for r in learnt["times"] if r["batch"] == 1}
    names = [f"{width}x{depth}" for width, depth in ms]
    reached = [statistics.mean(studies.by_seed(learnt, "shapes", name, "soft")) for name in names]
    return reached, list(ms.values()), names, range(len(names))


def crowd():
    """Twins, neighbours, and points at the edges."""
    return [1.0, 1.0, 1.03, 2.0, 1.98], [0.1, 0.101, 0.1, 0.2, 0.2], ["one", "two", "three", "four", "five"], range(5)


def apart(box, point):
    """How far, in pixels, a point lies from a box."""
    return math.dist(point, [min(max(at, low), high) for at, low, high in zip(point, box.min, box.max, strict=True)])


@pytest.mark.parametrize("given", [likeness_of_things, quickness_of_shapes, crowd])
def test_scatter_writes_no_name_over_another_or_beside_a_point_that_is_not_its_own(given):
    x, y, names, named = given()
    figure = figures.scatter(x, y, names, xlabel="x", ylabel="y", named=named)
    figures.image_tag(figure, "as a reader gets it")
    [axis] = figure.axes
    boxes = [text.get_window_extent() for text in axis.texts]
    assert sorted(text.get_text() for text in axis.texts) == sorted(names[number] for number in named)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    points = axis.transData.transform([(float(a), float(b)) for a, b in zip(x, y, strict=True)])
    for text, box in zip(axis.texts, boxes, strict=True):
        assert min(range(len(points)), key=lambda number: apart(box, points[number])) == names.index(text.get_text())


def test_no_text_is_smaller_than_eleven_points_in_a_figure_that_fits_the_page():
    some = [
        *(some_figure(), figures.pairs({"a": [0.1, 0.2], "b": [0.3, 0.1]}, title="A claim that takes a line")),
        figures.hard_and_soft([0.9, 0.1], ["a", "b"], 0),
        figures.matrix(torch.eye(3), ["a", "b", "c"]),
        figures.lines([1, 2], {name: [1, 2] for name in "abcde"}, xlabel="x", ylabel="y", marks={"here": 1.5}),
        figures.layer(some_trace(), ["a", "b", "c"], 1, says=({"x": 0.5}, {"y": 0.75}), title="It looks at b"),
        figures.tree(linkage([[0.0], [0.1], [5.0]], "average"), "abc"),
        figures.scatter([1, 2], [0.1, 0.2], ["one", "two"], xlabel="x", ylabel="y", named=[0, 1]),
        figures.ratios([[2.0, 1.0], [0.5, 1.1]], [[True, False]] * 2, **NAMES),
        figures.predictors({"layers": [1, 2]}, [5.0, 6.0], ["a", "b"], ylabel="ms"),
        figures.bars({"a": {"b": Spread((1.0, 2.0))}}, xlabel="x", title="A claim"),
        figures.soft_target([0.1, 0.9], ["a", "b"], student=[0.2, 0.8]),
        figures.attention(torch.zeros(2, 3, 8, 8).byte(), {"early": torch.ones(2, 4, 4)}, ["one", "two"]),
        figures.gram_tables({"teacher": torch.eye(3), "student": torch.eye(3)}, ["a", "a", "b"], title="A claim"),
        figures.logit_pulls({"first": [1.0, -1.0], "second": [0.5, 0.5]}, ["a", "b"], label=0),
        figures.gains([1, 4], {"a": [paired_interval([1, 2], baseline=[0, 0])] * 2}, title="title", ylim=(-1, 9)),
    ]
    for figure in some:
        figure.draw_without_rendering()
        texts = [text for text in figure.findobj(match=matplotlib.text.Text) if text.get_text()]
        assert min(text.get_fontsize() for text in texts) >= 11
        assert figure.get_figwidth() <= figures.axes.WIDTH
        for text in filter(on_the_page, texts):
            assert contrast(text.get_color(), behind(text)) >= 4.5, f"{text.get_text()!r} of {figure.get_label()}"


def on_the_page(text):
    """Not a tick's that lies outside the axes: matplotlib keeps such, and does not draw them."""
    drawn(text.figure)
    left, low, right, _ = text.get_window_extent().extents
    return right > left and 0 <= left < text.figure.bbox.width and 0 <= low < text.figure.bbox.height


def behind(text):
    """The colour of most pixels where ``text`` stands."""
    pixels = drawn(text.figure)[::-1]  # from below, as places are counted
    (left, low), (right, high) = text.get_window_extent().get_points().astype(int)
    box = pixels[max(low, 0) : high + 1, max(left, 0) : right + 1].reshape(-1, 3)
    colours, counts = np.unique(box, axis=0, return_counts=True)
    return colours[counts.argmax()] / 255


@functools.cache
def drawn(figure):
    """The pixels of a figure, uint8 ``[H, W, 3]``."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


@pytest.mark.parametrize("colour", [look["color"] for look in figures.axes.LOOKS] + ["white", "black", "yellow"])
def test_letters_in_any_colour_can_be_read_on_white(colour):
    assert contrast(figures.axes.readable(colour), "white") >= 4.5


def test_contrast_is_that_of_wcag():
    assert contrast("white", "black") == pytest.approx(21) and contrast("red", "red") == 1
    assert contrast("#767676", "white") == pytest.approx(4.54, abs=0.01)  # WCAG's grey that just passes


def test_no_figure_is_left_open_in_pyplot():
    from matplotlib import pyplot

    with capture_output():
        figures.show(some_figure(), alt="ten bars")
    assert pyplot.get_fignums() == []


def test_pictures_takes_grey_and_colour():
    for channels in 1, 3:
        grid = figures.pictures(torch.zeros(7, channels, 32, 32, dtype=torch.uint8), list("abcdefg"), columns=4)
        assert len(grid.axes) == 8 and [axis.get_title() for axis in grid.axes[:7]] == list("abcdefg")


def run_with(*accuracies):
    history = [{"epoch": epoch, "val_accuracy": value} for epoch, value in enumerate(accuracies, 1)]
    return SimpleNamespace(history=history, val_accuracy=accuracies[-1])


def test_live_curves_are_one_picture_that_is_replaced(monkeypatch):
    shown, replaced = [], []

    def display(picture, display_id):
        shown.append(picture.data)
        return SimpleNamespace(update=lambda other: replaced.append(other.data))

    monkeypatch.setattr(figures.curves, "display", display)
    live = figures.LiveCurves(epochs=3)
    live.of("alone")(run_with(0.5))
    live.of("alone")(run_with(0.5, 0.6))
    live.of("distilled")(run_with(0.7))
    assert len(shown) == 1 and "accuracy: alone 50.0% (epoch 1 of 3). A" in shown[0]
    assert len(replaced) == 2 and "alone 60.0%, distilled 70.0% (epoch 1 of 3). A" in replaced[1]
    assert [list(curve.get_ydata()) for curve in live._figure().axes[0].lines] == [[50, 60], [70]]
    assert live._figure().get_suptitle() == "Validation accuracy: alone 60.0%, distilled 70.0% (epoch 1 of 3)"


def test_intervals_that_contain_0_look_otherwise():
    shown, not_shown = (paired_interval(values, baseline=[0.5, 0.6]) for values in ([0.6, 0.701], [0.6, 0.5]))
    axis = figures.intervals({"a": shown, "b": not_shown}).axes[0]
    styles = [line.get_linestyle() for line in axis.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] != 0]
    assert styles[:1] == ["-"] and "--" in styles
    assert [text.get_text() for text in axis.get_yticklabels()] == ["a", "b"]


def test_bars_end_at_the_median_and_show_the_middle_half():
    spread, other = Spread((1.0, 2.0, 3.0, 4.0, 9.0)), Spread((2.0, 2.0))
    figure = figures.bars({"half": {"two": spread, "one": other}, "all": {"two": other}}, xlabel="times as fast")
    axis = figure.axes[0]
    assert [bar.get_width() for bar in axis.patches] == [3, 2, 2]
    assert [bar.get_hatch() for bar in axis.patches] == ["", "//", ""]
    assert list(axis.lines[0].get_xdata()) == [2, 4] and list(axis.lines[-1].get_xdata()) == [1, 1]
    assert [text.get_text() for text in axis.texts] == ["3.0  two", "2.0  one", "2.0  two"]
    assert figure.get_label() == "Bars, times as fast. half: 3.0 (two), 2.0 (one); all: 2.0 (two)."
    with pytest.raises(ValueError, match=r"one or two bars; got 3 in rows\['half'\]"):
        figures.bars({"half": {"a": other, "b": other, "c": other}}, xlabel="")


def test_a_change_is_written_with_its_sign():
    before, after = torch.tensor([[5, 0], [2, 3]]), torch.tensor([[4, 1], [2, 3]])
    texts = [text.get_text() for text in figures.change(after, ["cat", "dog"], before=before).axes[0].texts]
    assert texts == ["-1", "+1", "0", "0"]


NAMES = {"rows": ["1", "2"], "columns": ["a", "b"], "xlabel": "x", "ylabel": "y", "title": "t"}


def test_ratios_within_the_noise_are_hatched_and_bracketed():
    fig = figures.ratios([[2.0, 1.0], [0.5, 1.1]], [[True, False], [True, False]], **NAMES)
    axis = fig.axes[0]
    assert [text.get_text() for text in axis.texts] == ["2.00", "(1.00)", "0.50", "(1.10)"]
    assert len([patch for patch in axis.patches if patch.get_hatch()]) == 2
    low, high = axis.images[0].get_clim()
    assert low == -high == -1


def test_a_border_runs_between_ratios_above_and_below_it():
    table = [[2.0, 1.5], [1.4, 1.0]], [[True, True]] * 2
    drawn = figures.ratios(*table, **NAMES, border=1.5).axes[0].lines
    ends = {tuple(line.get_xdata()) + tuple(line.get_ydata()) for line in drawn}
    assert ends == {(-0.5, 0.5, 0.5, 0.5), (0.5, 1.5, 0.5, 0.5)}
    assert not figures.ratios(*table, **NAMES, border=0.5).axes[0].lines


@pytest.mark.parametrize(
    ("x", "ticks"),
    [
        ([2, 10, 100], ["2", "5", "10", "20", "50", "100"]),
        ([1e3, 1e5, 1e7], ["1 k", "10 k", "100 k", "1 M", "10 M"]),
        ([2e-4, 2e-3], ["0.0002", "0.0005", "0.001", "0.002"]),
        ([1e-5, 1e-1], ["$10^{-5}$", "$10^{-4}$", "0.001", "0.01", "0.1"]),
    ],
)
def test_logarithmic_axes_say_numbers_as_people_write_them(x, ticks):
    fig = figures.lines(x, {"a": range(len(x))}, xlabel="x", ylabel="y", log="x")
    fig.draw_without_rendering()
    axis = fig.axes[0].xaxis
    low, high = axis.get_view_interval()
    assert [t.label1.get_text() for t in axis.get_major_ticks() if low <= t.get_loc() <= high] == ticks
    assert {t.label1.get_text() for t in axis.get_minor_ticks()} <= {""}


def test_predictors_share_their_y_and_differ_in_marker_by_group():
    columns = {"layers": [1, 2, 3], "FLOPs": [10, 20, 30]}
    fig = figures.predictors(columns, [5.0, 6.0, 7.0], ["a", "b", "a"], ylabel="ms")
    assert [axis.get_xlabel() for axis in fig.axes] == ["layers", "FLOPs"]
    for axis in fig.axes:
        assert sorted(y for line in axis.lines for y in line.get_ydata()) == [5, 6, 7]
        assert len({line.get_marker() for line in axis.lines}) == 2


def test_attention_is_dark_where_a_map_is_small():
    maps = torch.tensor([[[4.0, 0.0], [2.0, 1.0]]])
    figure = figures.attention(torch.full((1, 3, 8, 8), 200, dtype=torch.uint8), {"early": maps}, ["chair"])
    above, below = figure.axes
    assert above.get_title() == "chair" and len(above.images) == 1 and below.get_ylabel() == "early"
    veil = below.images[1].get_array()[..., 3]
    assert veil.ravel().tolist() == pytest.approx([0.0, 0.9, 0.45, 0.675])
    assert "early (2 x 2 places)" in figure.get_label()
    with pytest.raises(ValueError, match=r"maps\['early'\] must be \[2, h, w\]; got \[1, 2, 2\]"):
        figures.attention(torch.zeros(2, 3, 8, 8).byte(), {"early": maps}, ["one", "two"])


def test_likeness_is_on_one_scale_and_says_how_alike_classes_are():
    one = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 1.0]])
    figure = figures.gram_tables({"teacher": one, "student": 2 * one}, ["chair", "chair", "tree"])
    assert {axis.images[0].get_clim() for axis in figure.axes} == {(0.0, 2.0)}
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["chair", "tree"]
    assert "teacher: 0.50 within a class, 0.10 between classes" in figure.get_label()
    with pytest.raises(ValueError, match=r"each table must be \[2, 2\], for as many labels; got \[\[3, 3\]\]"):
        figures.gram_tables({"teacher": one}, ["a", "b"])


def test_pulls_of_two_parts_are_stacked_to_their_own_side():
    figure = figures.logit_pulls({"first": [1.0, -1.0, 0.5], "second": [2.0, -0.5, -0.25]}, ["a", "b", "c"], label=1)
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in figure.axes[0].patches]
    assert bars == [(0, 1), (0, -1), (0, 0.5), (1, 3), (-1, -1.5), (0, -0.25)]
    assert [text.get_fontweight() for text in figure.axes[0].get_yticklabels()] == ["normal", "bold", "normal"]
    assert "first a +1.00, b -1.00, c +0.50; second a +2.00" in figure.get_label()


def some_trace():
    looks_at = torch.tensor([[0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    before, attention, network = torch.tensor([[3.0, 4.0]] * 3), torch.tensor([[0.0, 2.0]] * 3), torch.ones(3, 2)
    return bert.LayerTrace(before, looks_at, attention, torch.zeros(3, 8), network, 2 * before)


def test_a_layer_is_drawn_with_the_numbers_of_one_token():
    fig = figures.layer(some_trace(), ["a", "b", "c"], 1, says=({"x": 0.5}, {"y": 0.75}), title="It looks at b")
    looks, way = fig.axes
    assert [bar.get_width() for bar in looks.patches] == pytest.approx([0.2, 0.5, 0.3])
    assert [bool(bar.get_hatch()) for bar in looks.patches] == [False, True, False]
    said = [text.get_text() for text in way.texts if text.get_text() not in ("", "+")]
    assert said[:4] == [
        "2 numbers, length 5.0",
        "2 numbers, length 10.0",
        "attention adds length 2.0",
        "small network 2 → 8 → 2\nadds length 1.4",
    ]
    assert said[4:] == ["before it the classifier says\nx 50%", "after it the classifier says\ny 75%"]
    assert fig.get_label() == (
        "It looks at b. b looks most at b 50%, c 30%, a 20%. "
        "The classifier says before the layer: x 50%; after it: y 75%."
    )


@pytest.mark.parametrize(("tokens", "place", "name"), [(["a", "b"], 0, "tokens"), (["a", "b", "c"], 3, "place")])
def test_a_layer_of_other_tokens_is_refused(tokens, place, name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        figures.layer(some_trace(), tokens, place, says=({}, {}))
