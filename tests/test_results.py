"""The tables of results/README.md say what the JSON files say."""

import json
from pathlib import Path

from kdkit.metrics import paired_interval

RESULTS = Path(__file__).parents[1] / "results"
PAGE = " ".join((RESULTS / "README.md").read_text(encoding="utf-8").split())


def stored(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def test_teacher():
    teacher = stored("cifar10-teacher")
    assert f"**{teacher['results']['accuracy']:.2%}**".replace("%", " %") in PAGE
    assert f"in {teacher['seconds']:.0f} s" in PAGE and f"is {teacher['results']['ece']:.3f}" in PAGE
    assert f"{teacher['settings']['epochs']} epochs" in PAGE and "JPEG" in teacher["source"]


def test_pairs_of_students():
    result = stored("cifar10-distill")
    assert result["data"] == "cifar10" and result["train_images"] == 45_000 and "JPEG" in result["source"]
    for run in result["runs"]:
        row = f"| {run['seed']} | {100 * run['student_alone']:.2f} % | {100 * run['student_distilled']:.2f} % |"
        assert f"{row} {run['seconds_alone']:.0f} | {run['seconds_distilled']:.0f}" in PAGE
    arms = [[run[arm] for run in result["runs"]] for arm in ("student_alone", "student_distilled")]
    assert paired_interval(*arms).verdict == result["verdict"] and result["verdict"] in PAGE


def test_views():
    result = stored("cifar10-views")
    for run in result["runs"]:
        assert f"| {run['seed']} | {100 * run['fixed']:.2f} % | {100 * run['random']:.2f} % |" in PAGE
    arms = [[run[arm] for run in result["runs"]] for arm in ("random", "fixed")]
    assert paired_interval(*arms).verdict == result["verdict"] and result["verdict"] in PAGE


def test_the_fixed_arm_is_the_student_alone_of_the_other_table():
    alone = [run["student_alone"] for run in stored("cifar10-distill")["runs"]]
    assert [run["fixed"] for run in stored("cifar10-views")["runs"]] == alone
