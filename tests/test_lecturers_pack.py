"""The lecturers' pack: timetables that add up, slides that build, and words and figures that are the course's own."""

import ast
import itertools
import json
import re
import urllib.parse
from collections import Counter

import pytest
import torch
from answers import own

from kdkit import measured, metrics, studies
from kdkit.course import check
from kdkit.course.check import record
from kdkit.course.widgets.temperature import STOPS
from tools import alive, minutes, site, timetable, versions
from tools.cells import short_path, text
from tools.links import ROOT
from tools.timetable import Line

PACK = ROOT / "teaching"
BOOKS = {
    path.stem.split("_")[0]: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
}
LENGTHS = {"90-minutes": [90], "half-day": [240], "four-weeks": [90] * 4}


def page(name):
    return (PACK / f"{name}.md").read_text(encoding="utf-8")


def rows(source, *columns):
    """The cells of each row of the table with these columns."""
    table = source.partition("| " + " | ".join(columns) + " |\n")[2].partition("\n\n")[0]
    assert table, f"no table has the columns {columns}"
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()[1:]]


# ------------------------------------------------------------------------------------------- timetables


@pytest.mark.parametrize("name", LENGTHS)
def test_each_timetable_adds_up_names_sections_that_are_there_and_leaves_time_for_them(name):
    tables = timetable.tables(page(name))
    assert [(table[0].start, table[-1].end) for table in tables] == [(0, length) for length in LENGTHS[name]]
    assert [lie for table in tables for lie in timetable.wrong(table)] == []
    assert len(tables) == page(name).count("| minutes | notebook | what | who |")
    lines = [line for line in page(name).splitlines() if re.match(r"\| \d+-\d+ ", line)]
    assert sum(map(len, tables)) == len(lines)  # each line was understood


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (Line(5, 30, "00", "*A student*", "all"), "minute 3 is followed by 5"),
        (Line(3, 30, "00", "*A pupil*", "all"), r"00 has no section \['A pupil'\]"),
        (Line(3, 30, "00", "something", "all"), "00 has no section 'something'"),
        (Line(3, 30, "00", '*A student*, to "No such words"', "all"), "no paragraph begins with 'No such words'"),
        (Line(3, 12, "00", "the short path", "all"), r"too few: the short path takes 22"),
        (Line(3, 5, "01", "*Two teachers, one accuracy*", "all"), r"too few: .* takes 6\.\d"),
    ],
)
def test_what_is_wrong_with_a_line_is_found(line, said):
    [found] = timetable.wrong([Line(0, 3, "", "welcome", "you"), line])
    assert re.search(said, found)


def test_what_you_show_may_be_quicker_than_to_read_and_a_part_takes_less_than_its_section():
    assert timetable.wrong([Line(0, 1, "01", "*Two teachers, one accuracy*", "you")]) == []
    whole = Line(0, 9, "04", "*Accuracy and agreement*", "all")
    parts = [f'*Accuracy and agreement*, {bound} "More of it is not always better"' for bound in ("from", "to")]
    taken = [timetable.needed(whole._replace(what=part)) for part in parts]
    assert sum(taken) == pytest.approx(timetable.needed(whole)) and min(taken) > 0.5


def test_all_sections_together_are_the_short_path():
    notebook = short_path(BOOKS["02"])
    cells = [cell for part in timetable.sections(notebook).values() for cell in part]
    whole, parts = minutes.load(notebook), minutes.load({"cells": cells, "metadata": {}})
    assert parts._replace(seconds=whole.seconds) == whole


def test_the_tables_of_minutes_and_seconds_are_the_notebooks():
    source, named = page("README"), {number: book["metadata"]["kdkit"]["seconds"] for number, book in BOOKS.items()}
    computing = rows(source, "notebook", "short path", "parts marked ◆", "what takes the time")
    assert {row[0]: {"short": int(row[1]), "depth": int(row[2])} for row in computing} == named
    stated = rows(source, "notebook", "stated minutes", "first readers")
    assert {row[0].split()[0]: int(row[1]) for row in stated} == {
        number: minutes.said(book)[0] for number, book in BOOKS.items()
    }


def test_the_minutes_that_do_not_fit_and_those_of_preparing_are_the_notebooks():
    stated = {number: minutes.said(book)[0] for number, book in BOOKS.items()}
    plan = page("90-minutes")
    assert f"are about {sum(stated[number] for number in ('00', '01', '02', '03', '04'))} minutes" in plan
    assert stated["00"] + stated["01"] == 60 and "with the guesses (an hour)" in plan
    for source in plan, page("README"):
        assert f"{stated['02'] + stated['04']} minutes more" in source


def test_homework_takes_as_long_as_is_said():
    def stated(number):
        return minutes.said(BOOKS[number])

    deep = {number: stated(number)[1] - stated(number)[0] for number in BOOKS}
    choice = [stated(number) for number in ("05", "06", "07", "09")]
    said = re.findall(r"\*\*Homework\*\* \(about (.*?) minutes\)", page("four-weeks"))
    assert said[:2] == [str(deep["00"] + deep["01"]), str(stated("03b")[1] + deep["02"])]
    assert said[2:] == [f"{min(short for short, *_ in choice)} to {max(whole for _, whole, _ in choice)}"]


# ----------------------------------------------------------------------------------------------- slides


@pytest.fixture
def teaching():
    """The module that makes the pages."""
    pytest.importorskip("mdit_py_plugins", reason="the site's packages are not installed: pip install -e '.[site]'")
    from tools import teaching

    return teaching


def test_the_slides_minutes_join_and_meet_those_of_the_timetable(teaching):
    spans = teaching.spans(page("slides"))
    assert spans[0][0] == 0 and spans[-1][1] == 90
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
    [table] = timetable.tables(page("90-minutes"))
    starts = {start for start, _ in spans}
    assert len({line.start for line in table} - starts) <= 3  # the room goes on while a slide stands
    assert {line.start for line in table if line.who == "you"} <= starts


def test_each_slide_has_a_heading_and_a_note_and_each_figure_words(teaching):
    deck = teaching.deck(page("slides"))
    assert "{{" not in deck and deck.count('<aside class="note"') == deck.count("<section ") == len(
        re.findall("<section [^>]*>\n<h[12]>", deck)
    )
    pictures = re.findall(r"<img\b[^>]*>", re.sub(r"data-alive='[^']*'", "", deck))
    assert len(pictures) >= 15 and all(re.search(r'alt="[^"]{7,}"', picture) for picture in pictures)
    assert deck.count('class="kdkit-alive"') == 3


def test_the_pages_load_nothing_from_elsewhere(teaching, tmp_path):
    teaching.build(tmp_path / "teaching")
    for path in (tmp_path / "teaching").iterdir():
        loads = re.findall(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']([^"']*)""", path.read_text())
        assert loads and [at for at in loads if not at.startswith(("../_static/", "data:"))] == []
    assert sorted(path.name for path in (tmp_path / "teaching").iterdir()) == ["handout.html", "slides.html"]


def test_a_slide_with_a_figure_that_no_cell_shows_is_refused(teaching):
    with pytest.raises(ValueError, match="00_start_here has no cell 'c99' that shows a figure"):
        teaching.html("{{00_start_here c99}}")


def test_a_link_to_slides_or_handout_leads_to_the_page_that_is_made_of_them():
    found = site.linked("[the slides](slides.md) and [plan](90-minutes.md#the-day-before)", "teaching/README.md")
    assert found == '<a href="slides.html">the slides</a> and [plan](90-minutes.md#the-day-before)'


def test_the_links_to_the_lecturers_slider_name_states_that_the_front_page_has():
    links = re.findall(r"`index\.html#(\S+)`", page("90-minutes"))
    states = [dict(urllib.parse.parse_qsl(link)) for link in links]
    assert len(states) >= 4 and all(state.keys() == {"pair", "amount", "T", "present"} for state in states)
    assert all(state["pair"] in alive.PAIRS and float(state["T"]) in STOPS for state in states)
    assert all(0 <= float(state["amount"]) <= 1 for state in states)


def test_the_worked_solution_is_on_no_page_of_the_site():
    assert (PACK / "solutions" / "assignment.md").is_file()
    assert not any("solutions" in name for name in site.pages())
    assert {f"teaching/{path.name}" for path in PACK.glob("*.md")} - set(site.pages()) == {
        "teaching/slides.md",
        "teaching/handout.md",
    }


# ------------------------------------------------------------------------------ words and figures of the course


def strings_of_the_checks():
    """All texts in the code of the checks, those of f-strings in their parts."""
    for path in (ROOT / "kdkit" / "course" / "check").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_each_misconception_is_quoted_from_the_checks_and_each_exercise_of_the_short_paths_has_one():
    said, found = list(strings_of_the_checks()), Counter()
    for exercise, quoted in re.findall(r"^\| `(\w+)` \| (.*?) \|", page("misconceptions"), re.MULTILINE):
        quote = re.match(r'"(.*)"', quoted)
        assert any(quote[1] in words for words in said), quoted
        found[exercise] += 1
    known = {name for names in record.NOTEBOOKS.values() for name in names}
    assert set(versions.short_exercises()) <= found.keys() <= known


def told(notebook):
    """All that a notebook says: its cells' sources and what their outputs show, without pictures."""
    for cell in notebook["cells"]:
        yield text(cell["source"])
        for output in cell.get("outputs", ()):
            yield text(output.get("text", ""))
            for shown in output.get("data", {}).values():
                yield re.sub(r"base64,[\w+/=]*", "", text(shown))


def on_things():
    """What notebook 04's stored students show without CIFAR-10: a line for each pair of arms."""
    kept, budgets = measured.load("experiments-things"), {"labels": 1.0, "argmax": None, "soft": None}
    by_arm = {arm: studies.by_seed(kept, "quick", "8x3", arm, budget) for arm, budget in budgets.items()}
    for arm, baseline in ("soft", "labels"), ("soft", "argmax"), ("argmax", "labels"):
        pair = metrics.paired_interval(by_arm[arm], baseline=by_arm[baseline])
        mean, low, high = (f"{100 * value:+.2f}" for value in (pair.mean, pair.low, pair.high))
        yield f"{arm} - {baseline}", f"{mean} ({low} to {high}), {pair.verdict.split(' of')[0].split(':')[0]}"


def test_the_table_of_04_without_cifar_10_is_what_its_stored_students_show():
    columns = "", "with CIFAR-10 (as on the slides)", "on drawn Things"
    table = {row[0]: row[1:] for row in rows(page("90-minutes").replace("| | with", "|  | with"), *columns)}
    assert {name: things for name, (_, things) in table.items() if " - " in name} == dict(on_things())
    words = "\n".join(told(BOOKS["04"]))
    for name, (cifar, _) in table.items():
        if " - " in name:
            mean, low, high = re.findall(r"[-+]\d\.\d\d", cifar)
            assert f"{mean} ({low} to {high})" in words, name


def test_whoever_states_04s_stored_result_says_that_its_students_are_of_an_older_kit():
    [cell] = [cell for cell in BOOKS["04"]["cells"] if cell["id"] == "c38"]
    printed = "".join(text(output.get("text", "")) for output in cell["outputs"])
    assert "The stored students are of an older kdkit." in printed and "89.23 %" in printed
    stating = {path.stem for path in PACK.glob("*.md") if "+1.07" in path.read_text(encoding="utf-8")} | {"slides"}
    assert len(stating) >= 4
    for name in stating:
        assert re.search(r"stored students.{0,40} of an older kit|stored students are from an older", page(name)), name


def test_the_step_on_a_slide_is_the_notebooks():
    [step] = [cell for cell in BOOKS["03"]["cells"] if cell["id"] == "c23"]
    assert f"## The step of the DistilBERT article\n\n```python\n{text(step['source'])}\n```" in page("slides")


def test_participants_run_the_kit_with_its_own_python():
    for path in PACK.glob("*.md"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"`python -m kdkit doctor", line), f"{path.name}: {line}"


QUANTILES = {"4.30", "2.78", "2.26"}  # of Student's t, for 3, 5 and 10 pairs


NAMED = re.compile(r"(?<![\d.,])(0\db?|10(?= [A-Z]))(?!\d|[.,]\d)")  # a notebook's number in words


def figures_by_notebooks(source):
    """(figure, numbers of the notebooks that its line names, or else the last ones named above) of a page."""
    last = ["00"]
    for line in re.sub(r"```.*?```|arXiv:[\d.]+", "", source, flags=re.DOTALL).splitlines():
        shown = re.findall(r"\{\{(\d\db?)_", line)
        said = NAMED.findall(line) if line.startswith("## ") else []
        last = shown or said or last
        line = re.sub(r"\{\{.*?\}\}|`[^`]*`", "", line)
        for figure in re.findall(r"\d+\.\d+(?:e-\d+)?|\d{1,3},\d{3}(?:\.\d)?|\d+e-?\d+", line):
            if figure not in QUANTILES:
                yield figure, {*last, *NAMED.findall(line)}


@pytest.mark.parametrize("name", ["slides", "handout", "questions"])
def test_each_figure_stands_in_the_notebook_that_its_line_or_heading_names(name):
    words = {number: "\n".join(told(book)) for number, book in BOOKS.items()}
    words["04"] += "\n".join(dict(on_things()).values())
    found = list(figures_by_notebooks(page(name)))
    missing = [
        (figure, sorted(numbers))
        for figure, numbers in found
        if not any(re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", words[number]) for number in numbers)
    ]
    assert len(found) > 5 and missing == []


def test_the_quantiles_are_students():
    from scipy.stats import t

    assert {f"{t.ppf(0.975, pairs - 1):.2f}" for pairs in (3, 5, 10)} == QUANTILES


def defined(source, name):
    """What the fenced Python of a page defines under this name."""
    [block] = [code for code in re.findall(r"```python\n(.*?)```", source, re.DOTALL) if f"def {name}(" in code]
    namespace = {"torch": torch, "F": torch.nn.functional}
    exec(compile(block, "a page", "exec"), namespace)
    return namespace[name]


def test_the_step_of_the_handout_and_that_of_the_solution_pass_the_check():
    for step in defined(page("handout"), "kd_step"), defined(page("solutions/assignment"), "my_kd_step"):
        assert check.kd_step(step).passed


def test_the_memo_of_the_solution_is_that_of_its_table():
    source = page("solutions/assignment")
    pairs = [[float(cell.split()[0]) for cell in row] for row in rows(source, "seed", "alone", "distilled")]
    runs = [own.run(int(seed), alone / 100, distilled / 100) for seed, alone, distilled in pairs]
    networks = {
        "teacher": own.about(0.9533, 1, 0, None, None),
        "alone": own.about(0.8627, 0, 0, None, None),
        "distilled": own.about(0.9373, 0, 0, None, None),
    }
    cost = {"teacher": own.costing(72202, 1.92, 25.0), "student": own.costing(13491, 0.55, 11.5)}
    result = {**own.RESULT, "runs": runs, "networks": networks, "cost": cost}
    verdict = check.memo(defined(source, "memo"), result)
    assert verdict.passed, verdict.message
    assert "gain of 7.47 points (95 % interval +5.34 to +9.59, higher in 5 of 5 seeds)" in source


def test_the_grading_code_runs_in_a_folder_that_was_handed_in(tmp_path, monkeypatch, capsys):
    source = page("solutions/assignment")
    blocks = re.findall(r"```python\n(.*?)```", source, re.DOTALL)
    step, memo = (next(code for code in blocks if f"def {name}(" in code) for name in ("my_kd_step", "memo"))
    (tmp_path / "step.py").write_text(step)
    (tmp_path / "memo.py").write_text(memo)
    (tmp_path / "result.json").write_text(json.dumps(own.RESULT))
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks[0], "grading", "exec"), {})
    said = capsys.readouterr().out
    assert "right: after two steps" in said and "evidence says 7.47 points, and the report has no such figure" in said


def test_the_rubric_adds_up_and_each_step_between_is_said():
    table = rows(page("assignment"), "criterion", "full", "half", "none")
    assert sum(int(re.search(r"\((\d+)\)", row[0])[1]) for row in table) == 100
    assert all(len(row) == 4 and all(len(cell) > 8 for cell in row) for row in table)
