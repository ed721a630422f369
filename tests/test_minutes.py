"""How long a notebook takes: the formula, by hand, and the sentence in the opening that is held against it."""

import copy
import json
import re

import pytest

from tools import minutes
from tools.cells import divided, short_path, text
from tools.links import ROOT
from tools.minutes import Load

OPENING = "# Title\n\n**You need** nothing. **Time**: five minutes, or ten. Close the window."
FALSE = "about 9 minutes for the short path, 15 with all parts marked ◆, of these 2 to compute on two CPU cores."


def prose(*paragraphs, tags=()):
    return {"cell_type": "markdown", "metadata": {"tags": list(tags)}, "source": "\n\n".join(paragraphs)}


def code(*lines, tags=()):
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": "\n".join(lines), "outputs": []}


def book(*cells, **seconds):
    return {"cells": list(cells), "metadata": {"kdkit": {"drawn_by": "x", "seconds": seconds}}}


def small():
    return book(
        prose(OPENING),
        code("import math", "from kdkit.course.widgets import FlipBook, TemperaturePanel", "", "TemperaturePanel(1)"),
        prose("*How many?* Write it down.", "It is " + "one " * 117),
        code("my_number = ...", "check.guess(my_number, 3)", tags=["core", "exercise"]),
        prose("### Exercise", "[A link](https://example.org/x) and ![a picture](x.png) and <b>bold</b> : text."),
        code("def f(x):", "    return ...", "", "", "check.f(f)", tags=["exercise"]),
        prose("<details><summary>Hint 1</summary>Not counted.</details>"),
        code("def f_solution(x):", "    return x", tags=["solution"]),
        prose("## ◆ Deeper", "word " * 259, "### A part of it"),
        code("y = 1", "y", tags=["core"]),
        prose("## Quiz", "<details><summary>One</summary>Counted.</details>"),
        prose("*Which?* Write it down."),
        short=40,
        depth=50,
    )  # fmt: skip


def test_the_formula_by_hand():
    opening, question, exercise, quiz = 12, 5 + 119, 1 + 6, 1 + 2 + 4
    short = Load(opening + question + exercise + quiz, 3 + 2 + 3, 1, 1 + 1 + 1, 0, 40)
    assert minutes.load(short_path(small())) == short
    assert short.minutes == pytest.approx(150 / 130 + 8 * 4 / 60 + 5 + 3 + 40 / 60)
    whole = Load(short.words + 1 + 259 + 4, 10, 1, 3, 0, 90)
    assert minutes.load(small()) == whole
    assert whole.minutes == pytest.approx(414 / 130 + 10 * 4 / 60 + 5 + 3 + 1.5)


def test_what_belongs_to_the_depth():
    cells = [
        prose("one", "◆ two", "(**◆ three**", "four"),
        code("five"),
        code("six", tags=["extra"]),
        prose("seven", tags=["extra"]),
        prose("eight", "### ◆ nine", "ten"),
        prose("#### eleven"),
        code("twelve", tags=["core"]),
        prose("thirteen", "### fourteen", "## ◆ fifteen", "### ◆ sixteen", "### seventeen"),
        prose("# eighteen ◆", "nineteen"),
    ]
    kept = [text(cell["source"]).split("\n\n") for _, cell in divided(book(*cells)) if cell]
    assert kept == [["one", "four"], ["five"], ["eight"], ["### fourteen"], ["# eighteen ◆", "nineteen"]]


def test_a_slider_is_a_panel_of_kdkits_widgets_and_a_question_that_is_entered_counts_once():
    notebook = book(
        code("from kdkit.course.widgets import (", "    FlipBook,", "    MorphPanel,", ")", "FlipBook(MorphPanel(t))"),
        code("Panel(t)"),
        prose("Write both down."),
        prose("(In the next cell.)"),
        code("my_first, my_second = ..., ..."),
    )  # fmt: skip
    assert minutes.load(notebook).guesses == 2 + 1


def test_a_figure_or_a_table_that_is_shown_is_looked_at_for_a_minute():
    notebook = book(code("a"), code("b"), code("c"), code("d"), code("e", tags=["solution"]), short=0)
    image, rows = '<img alt="a" src="data:x">', "1\n2\n3\n4\n"
    notebook["cells"][0]["outputs"] = [{"data": {"text/html": [image, image], "text/plain": "<HTML>"}}]
    notebook["cells"][1]["outputs"] = [{"text": [rows]}, {"text": "1\n2\n3\n"}, {"data": {"text/plain": rows}}]
    notebook["cells"][2]["outputs"] = [{"data": {"text/html": "<table>1</table>", "text/plain": rows}}]
    notebook["cells"][3]["outputs"] = [{"data": {minutes.WIDGET_VIEW: {}, "text/html": image, "text/plain": rows}}]
    notebook["cells"][4]["outputs"] = [{"data": {"text/html": image}}]
    found = minutes.load(notebook)
    assert found.shown == 2 + 2 + 1 and found.minutes == found.work + 5


@pytest.mark.parametrize(("read", "said"), [(4.4, 4), (19.6, 20), (22.4, 20), (22.6, 25), (63, 65)])
def test_minutes_are_rounded_to_five_above_twenty(read, said):
    assert minutes.rounded(read) == said


# --------------------------------------------------------------------------------------------- the sentence


def test_the_sentence_is_written_in_the_place_of_the_old_one_and_the_next_one_stays():
    written = minutes.with_sentence(small())
    assert written["cells"][0]["source"] == OPENING.replace(
        "five minutes, or ten.", FALSE.replace("15", "13").replace("9", "10")
    )
    assert minutes.lies(written) == [] and minutes.with_sentence(copy.deepcopy(written)) == written


def test_without_a_marked_part_the_sentence_has_one_number():
    notebook = short_path(small())
    assert minutes.sentence(notebook) == "about 10 minutes, of these 1 to compute on two CPU cores."


def opened(sentence):
    notebook = small()
    notebook["cells"][0] = prose(f"**Time**: {sentence}")
    return notebook


def test_a_sentence_that_lies_by_more_than_a_fifth_is_found():
    true = minutes.figures(opened(FALSE))
    assert true == [pytest.approx(10.43, abs=0.01), pytest.approx(13.43, abs=0.01), 2]
    assert minutes.lies(opened(FALSE)) == []  # forgiven
    for was, is_ in ("about 9", "about 8"), ("path, 15", "path, 17"), ("these 2", "these 3"):
        [lie] = minutes.lies(opened(FALSE.replace(was, is_)))
        assert f"says {is_.split()[1]} minutes for" in lie


def test_one_number_is_said_for_both_depths_where_they_take_as_long_and_nowhere_else():
    one = "about 11 minutes, of these 2 to compute on two CPU cores."
    assert minutes.lies(opened(one)) == []
    [lie] = minutes.lies(opened(one.replace("11", "10")))
    assert "says 10 minutes for 13.4" in lie
    notebook = opened(one)
    notebook["cells"] = [cell for cell in notebook["cells"] if "word word" not in cell["source"]]
    notebook["cells"][-3]["metadata"]["tags"] = ["extra"]  # two lines of code
    notebook["metadata"]["kdkit"]["seconds"]["depth"] = 0
    assert minutes.has_depth(notebook) and minutes.sentence(notebook).startswith("about 10 minutes, of these")


@pytest.mark.parametrize("sentence", ["half an hour.", FALSE.replace("CPU ", ""), FALSE.replace("short", "long")])
def test_a_sentence_of_another_form_is_found(sentence):
    [lie] = minutes.lies(opened(sentence))
    assert 'does not say "**Time**: about ' in lie


def test_a_missing_sentence_is_found():
    notebook = small()
    notebook["cells"][0] = prose("# Title")
    assert "does not say" in minutes.lies(minutes.with_sentence(notebook))[0]


def test_minutes_of_the_readme_are_those_of_the_openings():
    readme = "| [A](notebooks/a.ipynb) | about a | old | [badge](x) |\n| [B](notebooks/b.ipynb) | b | | [badge](x) |\n"
    notebooks = {"a.ipynb": opened(FALSE), "b.ipynb": minutes.with_sentence(short_path(opened(FALSE)))}
    assert minutes.with_minutes(readme, notebooks) == readme.replace("old", "9 (15)").replace("b | |", "b | 10 |")


# ------------------------------------------------------------------------------------------ measured computing


def just_run(notebook, taken):
    """As nbclient leaves a notebook: each code cell has taken so many seconds."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            times = {"busy": "2026-01-01T00:00:00.000000Z", "idle": f"2026-01-01T00:00:{taken:09.6f}Z"}
            cell["metadata"]["execution"] = {f"iopub.status.{state}": time for state, time in times.items()}
    return notebook


@pytest.mark.parametrize(
    ("kept", "taken", "noted"),
    [
        ({}, 5.5, {"short": 30, "depth": 10}),
        ({"short": 20, "depth": 5}, 5.5, {"short": 20, "depth": 5}),
        ({"short": 17, "depth": 4}, 5.5, {"short": 17, "depth": 10}),
        ({"short": 30}, 5.5, {"short": 30, "depth": 10}),
        ({"short": 20, "depth": 10}, 55, {"short": 220, "depth": 60}),
    ],
)
def test_what_the_computing_took_is_noted_for_each_depth_unless_the_old_figure_is_still_right(
    kept, taken, noted, monkeypatch
):
    monkeypatch.setattr(minutes.os, "cpu_count", lambda: 2)
    notebook = just_run(small(), taken)
    notebook["metadata"]["kdkit"]["seconds"] = kept
    minutes.note_seconds(notebook)
    assert notebook["metadata"]["kdkit"] == {"drawn_by": "x", "seconds": noted}


def test_a_machine_with_more_cores_does_not_change_the_figure_for_two(monkeypatch):
    monkeypatch.setattr(minutes.os, "cpu_count", lambda: 16)
    notebook = just_run(small(), 30)
    minutes.note_seconds(notebook)
    assert notebook["metadata"]["kdkit"]["seconds"] == {"short": 40, "depth": 50}


# -------------------------------------------------------------------------------------------- the course itself

NOTEBOOKS = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_each_notebook_says_how_long_it_takes_and_has_measured_its_computing():
    assert [f"{name}: {lie}" for name, notebook in NOTEBOOKS.items() for lie in minutes.lies(notebook)] == []
    for notebook in NOTEBOOKS.values():
        parts = {"short", "depth"} if minutes.has_depth(notebook) else {"short"}
        assert minutes.seconds(notebook).keys() == parts


def test_the_short_paths_work_fits_into_25_minutes_as_they_are_rounded():
    for name, notebook in NOTEBOOKS.items():
        path = minutes.load(short_path(notebook))
        assert path.work < 27.5, f"{name}: {path.work:.1f} minutes without its figures"
        assert path.words <= 1400 and path.exercises <= 2, name


def test_the_readmes_table_says_the_same():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert minutes.with_minutes(readme, NOTEBOOKS) == readme
    assert len(re.findall(r"\| \d+(?: \(\d+\))? \| \[!\[Open in Colab", readme)) == len(NOTEBOOKS)
