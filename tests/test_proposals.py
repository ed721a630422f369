"""A student for a wish in milliseconds, epochs for one in minutes: chosen from what was measured, with the reason."""

import json
import re
from pathlib import Path

import pytest
import torch

from kdkit import data, training, zoo
from kdkit.cli import main as cli
from kdkit.cli import proposals
from kdkit.measure import profiling
from kdkit.training import loop

TAKEN = {(4, 3): 0.4, (8, 3): 0.5, (8, 6): 0.9, (16, 6): 2.5}


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "THINGS_PER_CLASS", 20)
    monkeypatch.setattr(profiling, "SHORTEST", 0.0)
    monkeypatch.delenv("KDKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def measured(monkeypatch, step=0.1, validation=0.0, image=0.01):
    """As if these were the seconds of a step, a validation, and a teacher's answer about an image."""
    monkeypatch.setattr(proposals, "_seconds", lambda *of: (step, validation))
    monkeypatch.setattr(proposals, "_answering", lambda *of: image)


def test_the_largest_student_within_the_limit_is_chosen_and_the_next_one_named():
    width, depth, reason = proposals._largest(TAKEN, 1.0, 64)
    assert (width, depth) == (8, 6) and reason == (
        "Student: --width 8 --depth 6, the largest of 4 that answers in 1 ms: it took 0.90 ms for one image of 64x64 "
        "here; --width 16 --depth 6 took 2.50 ms."
    )
    assert proposals._largest(TAKEN, 9.0, 64)[:2] == (16, 6)
    with pytest.raises(
        ValueError, match=r"no student .* quickest, --width 4 --depth 3, took 0\.40 ms.*Give more, or a sm"
    ):
        proposals._largest(TAKEN, 0.3, 64)


def test_so_many_epochs_as_fit_are_chosen_and_not_more_than_teach():
    epochs, reason = proposals._fitting(600, 10.0, 100, "what it is made of")
    assert epochs == 48 and reason.startswith("Epochs: --epochs 48, for 10 minutes (what it is made of; a fifth")
    epochs, reason = proposals._fitting(600, 0.1, 40, "x")
    assert epochs == 40 and "more than 40 hardly teach more" in reason
    with pytest.raises(
        ValueError, match=r"one epoch alone takes about 12\.5 minutes here \(x\)\. Give more minutes, or"
    ):
        proposals._fitting(60, 600.0, 40, "x")


def test_the_teacher_and_both_students_of_each_seed_are_counted(monkeypatch):
    measured(monkeypatch, step=0.1, validation=1.0, image=0.01)
    splits = data.things.splits(20)  # 200 images to train
    options = type("options", (), {"minutes": 10.0, "batch_size": 20, "seeds": 3, "device": "cpu"})
    epochs, _ = proposals._epochs(options, splits, 8, torch.nn.Identity(), splits, (2, 3))
    assert epochs == int(0.8 * 600 / (6 * (10 * 0.1 + 1.0) + 2.0))
    epochs, _ = proposals._epochs(options, splits, 80, None, splits, (2, 3))
    assert epochs == int(0.8 * 600 / (10 * 0.1 + 1.0))


def test_a_step_is_measured_about_as_a_training_takes_it():
    splits, network = data.things.splits(20), zoo.load("things-teacher").train()
    step, validation = proposals._seconds(network, splits, 20)
    run = training.train(network, splits, epochs=1, batch_size=20, progress=False)
    assert 0.1 < (10 * step + validation) / run.seconds < 10


def test_wishes_are_granted_told_and_kept_so_that_the_same_command_goes_on(monkeypatch, capsys):
    measured(monkeypatch, step=0.01, image=0.0)
    monkeypatch.setattr(proposals, "STUDENTS", ((2, 3), (3, 3)))
    command = ["distill", "--minutes", "0.02", "--latency-ms", "10000", "--seeds", "1", "--batch-size", "50"]
    assert cli.main([*command, "--json", "a.json"]) in (0, 1)
    said, found = capsys.readouterr().out, json.loads(Path("a.json").read_text())
    assert "Student: --width 3 --depth 3, the largest of 2" in said and "Epochs: --epochs 12, for 0.02 minutes" in said
    assert (found["settings"]["width"], found["settings"]["epochs"]) == (3, 12)
    measured(monkeypatch, step=0.001, image=0.0)  # the machine is less busy now
    monkeypatch.setattr(loop, "step", None)  # nothing can be trained
    assert cli.main([*command, "--json", "b.json"]) in (0, 1)
    assert json.loads(Path("b.json").read_text())["runs"] == found["runs"]


def test_a_teachers_minutes_choose_its_epochs(monkeypatch, capsys):
    measured(monkeypatch, step=0.01)
    few = ["--width", "2", "--batch-size", "50", "--json", "t.json"]
    cli.main(["train-teacher", "--minutes", "0.01", *few])
    assert re.search(r"Epochs: --epochs 12, .*1 training of 4 steps of 0\.010 s an epoch;", capsys.readouterr().out)


WRONG = {
    "both": (["--latency-ms", "2", "--width", "4"], "--latency-ms chooses --width and --depth: leave out --width"),
    "epochs": (["--minutes", "2", "--epochs", "4"], "--minutes chooses --epochs: leave out --epochs"),
    "no time": (["--minutes", "0"], r"--minutes must be a finite number above 0; got 0\.0"),
    "no number": (["--latency-ms", "nan"], "--latency-ms must be a finite number above 0; got nan"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wishes_beside_what_they_choose_are_refused(what, capsys):
    given, said = WRONG[what]
    assert cli.main(["distill", *given]) == 1
    assert re.search(said, capsys.readouterr().err)
