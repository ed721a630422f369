"""A better teacher, or more steps: what the stored students of two teachers say, and the page and notebook of them."""

import json

import pytest

from benchmarks import teachers as benchmark
from kdkit import zoo
from kdkit.course import measured
from kdkit.studies import Ledger, teachers


def made_up(values):
    """A result of these validities: arm to one for each seed."""
    rows = [
        {"teacher": arm[0], "steps": arm[1], "seed": seed, "validity": value}
        for arm, each in values.items()
        for seed, value in reversed(list(enumerate(each)))  # not in their order
    ]
    return {"rows": [{"about": teachers.WEAK, "validity": 0.8}, *rows]}


def arms(weak_short, weak_long, strong_short, strong_long):
    names = [(who, long) for who in (teachers.WEAK, teachers.STRONG) for long in (teachers.SHORT, teachers.LONG)]
    return dict(zip(names, (weak_short, weak_long, strong_short, strong_long), strict=True))


def test_gains_are_paired_by_seed():
    result = made_up(arms([0.1, 0.3], [0.5, 0.6], [0.2, 0.5], [0.9, 0.9]))
    found = teachers.gains(result, "validity")
    assert found["better teacher, 600 steps"].differences == pytest.approx((0.1, 0.2))
    assert found["more steps, worse teacher"].differences == pytest.approx((0.4, 0.3))
    assert found["better teacher instead of more steps"].differences == pytest.approx((-0.3, -0.1))


@pytest.mark.parametrize(
    ("strong_short", "said"),
    [([0.9, 0.91], "The better teacher gains"), ([0.1, 0.11], "Four times the steps gain"), ([0.3, 0.7], "not shown")],
)
def test_the_title_says_what_the_interval_shows(strong_short, said):
    assert said in teachers.verdict(made_up(arms([0.1, 0.1], [0.5, 0.51], strong_short, [0.9, 0.9])))


def test_the_study_trains_each_student_once(tmp_path, monkeypatch):
    trained = []

    def train(*arm):
        trained.append(arm)
        return {"validity": 0.5, "coverage": 0.5, "truth_kl": 1.0, "seconds": 0.0}

    monkeypatch.setattr(benchmark, "trained", train)
    monkeypatch.setattr(benchmark, "pool", str)
    monkeypatch.setattr(benchmark, "teacher", str)
    monkeypatch.setattr(benchmark, "judged", lambda name: {"validity": 0.9, "coverage": 0.9})
    for _ in range(2):
        benchmark.run(Ledger(benchmark.about(), tmp_path / "a.json", say=str))
        assert len(trained) == len(set(trained)) == 4 * benchmark.SEEDS
    assert "no difference shown" in "\n".join(benchmark.table(json.loads((tmp_path / "a.json").read_text())))


def test_the_page_says_what_the_study_found():
    result, page = measured.load("generators-teachers"), (measured.FOLDER / "README.md").read_text(encoding="utf-8")
    lines = list(benchmark.table(result))
    assert len(lines) == 2 + 4 + 1 + 2 + 5 and [line for line in lines if line not in page] == []
    assert result["settings"] == json.loads(json.dumps(benchmark.about()["settings"]))
    assert result["teacher"] == zoo.card("sums-teacher")["sha256"]
    for first, second in teachers.QUESTIONS.values():
        for arm in first, second:
            assert len(teachers.by_seed(result, arm, "validity")) == benchmark.SEEDS


def test_what_the_page_and_the_notebook_say_of_it_holds():
    result = measured.load("generators-teachers")
    found, covers = (teachers.gains(result, measure) for measure in ("validity", "coverage"))
    early = found["better teacher, 600 steps"]
    assert early.low < 0 < early.high and sorted(early.differences)[-2] < 0.04 < 0.34 < max(early.differences)
    assert min(found["better teacher, 2,400 steps"].low, covers["better teacher, 600 steps"].low) > 0
    assert min(found["more steps, worse teacher"].low, found["more steps, better teacher"].low) > 0.1
    assert found["better teacher instead of more steps"].high < 0
    weak = next(row for row in result["rows"] if row.get("about") == teachers.WEAK)["validity"]
    late = teachers.by_seed(result, (teachers.WEAK, teachers.LONG), "validity")
    assert all(weak - 0.02 < value < weak for value in late)
    table = teachers.table(result)
    assert table["teacher, 12 epochs"]["validity"] == f"{weak:.1%}" and len(table) == 6
