"""The tables of kdkit/measured/README.md say what the JSON files say."""

import statistics

import pytest

from kdkit import measured
from kdkit.metrics import paired_interval

PAGE = " ".join((measured.FOLDER / "README.md").read_text(encoding="utf-8").split())


def test_what_was_not_measured_is_refused_with_the_names_of_what_was():
    with pytest.raises(ValueError, match="'speed'; there are: cache, cifar10-distill"):
        measured.load("speed")


def test_teacher():
    teacher = measured.load("cifar10-teacher")
    assert f"**{teacher['results']['accuracy']:.2%}**".replace("%", " %") in PAGE
    assert f"in {teacher['seconds']:.0f} s" in PAGE and f"is {teacher['results']['ece']:.3f}" in PAGE
    assert f"{teacher['settings']['epochs']} epochs" in PAGE and "JPEG" in teacher["source"]


def test_pairs_of_students():
    result = measured.load("cifar10-distill")
    assert result["data"] == "cifar10" and result["train_images"] == 45_000 and "JPEG" in result["source"]
    for run in result["runs"]:
        row = f"| {run['seed']} | {100 * run['student_alone']:.2f} % | {100 * run['student_distilled']:.2f} % |"
        assert f"{row} {run['seconds_alone']:.0f} | {run['seconds_distilled']:.0f}" in PAGE
    arms = [[run[arm] for run in result["runs"]] for arm in ("student_alone", "student_distilled")]
    assert paired_interval(*arms).verdict == result["verdict"] and result["verdict"] in PAGE


def test_views():
    result = measured.load("cifar10-views")
    for run in result["runs"]:
        assert f"| {run['seed']} | {100 * run['fixed']:.2f} % | {100 * run['random']:.2f} % |" in PAGE
    arms = [[run[arm] for run in result["runs"]] for arm in ("random", "fixed")]
    assert paired_interval(*arms).verdict == result["verdict"] and result["verdict"] in PAGE


def test_the_fixed_arm_is_the_student_alone_of_the_other_table():
    alone = [run["student_alone"] for run in measured.load("cifar10-distill")["runs"]]
    assert [run["fixed"] for run in measured.load("cifar10-views")["runs"]] == alone


def test_cache():
    result = measured.load("cache")
    for name, seconds in result["seconds"].items():
        ratios = sorted(taken / plain for taken, plain in zip(seconds, result["seconds"]["plain"], strict=True))
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        images = f"{result['teacher_images'][name]:,}"
        assert f"| {name} | {statistics.median(ratios):.3f} | {spread} | {images} |" in PAGE
    share = statistics.median(result["shares_outside"])
    assert f"{share:.1%}".replace("%", " %") in PAGE and f"load {result['load']}" in PAGE


UNSEEN = {"unseen-things": "mushrooms", "unseen-mnist": "3s"}


@pytest.mark.parametrize("name", UNSEEN)
def test_the_class_that_was_never_seen(name):
    result = measured.load(name)
    assert len(result["runs"]) == 5
    for arm in "alone", "distilled":
        row = f"| {UNSEEN[name]} | {arm} |"
        for what in "unseen", "all":
            for when in "before", "after":
                scores = [100 * run[arm][when][what] for run in result["runs"]]
                row += f" {sum(scores) / 5:.1f} ({min(scores):.1f} to {max(scores):.1f}) |"
        assert row in PAGE, row


def test_temperature_grid():
    result = measured.load("temperature-grid")
    arms = {(r["per_class"], r["temperature"], r["soft_weight"], r["lr_factor"], r["seed"]) for r in result["runs"]}
    assert len(arms) == len(result["runs"]) == 3 * 5 * (1 + 6 * 3 + 3)
    assert f"{len(arms)} trainings" in PAGE


def test_latency():
    result = measured.load("latency")
    for name, times in result["milliseconds"].items():
        row = f"| {name} |"
        for kind in "changed", "painted":
            values = sorted(times[kind])
            assert len(values) == result["moves"] == 30
            row += f" {statistics.median(values):.1f} | {values[28]:.1f} |"
        assert row in PAGE, row
    assert f"load {result['load']}" in PAGE
