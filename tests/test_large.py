"""What ``docs/large.md`` shows is run. (Two processes: ``slow/test_several.py``.)"""

import re
import shlex
from pathlib import Path

import pytest
import tiny
import torch
from torch.utils.data import DataLoader, TensorDataset

import kdkit
from kdkit import data, models
from kdkit.cli import main as cli
from kdkit.measure import profiling
from kdkit.training.loop import Loader

PAGE = (Path(__file__).parents[1] / "docs" / "large.md").read_text(encoding="utf-8")
FEW = ["--train-images", "100", "--epochs", "12", "--batch-size", "20", "--width", "8"]
LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """What each training of a command was told; compiling is only pretended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "THINGS_PER_CLASS", 20)
    monkeypatch.setattr(profiling, "SHORTEST", 0.0)  # times are no matter here
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda what: compile(what, backend="eager"))
    train, told = kdkit.train, []
    monkeypatch.setattr(
        kdkit, "train", lambda *given, **how: told.append((run := train(*given, **how)).settings) or run
    )
    return told


OPTIONS = {
    "--precision bf16": {"precision": "bf16"},
    "--accumulate 4": {"accumulate": 4},
    "--max-grad-norm 1": {"max_grad_norm": 1.0},
    "--compile": {"compile": True},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_command_runs_and_its_option_reaches_the_training(settings, option):
    (line,) = (line for line in LINES if line.endswith(option))
    seeds = ["--seeds", "1"] if "distill" in line else []
    assert cli.main([*shlex.split(line)[3:], *FEW, *seeds]) == 0
    usual = {"accumulate": 1, "precision": "float32", "compile": False, "max_grad_norm": 2.0}
    for told in settings:
        assert {name: told[name] for name in usual} == usual | OPTIONS[option]


def test_no_command_is_shown_that_is_not_run():
    (launched,) = (line for line in LINES if line.startswith("torchrun"))
    assert launched.startswith("torchrun --nproc-per-node 2 -m kdkit distill") and len(LINES) == len(OPTIONS) + 2


def test_answers_cut_to_the_likeliest_classes_teach(settings, capsys):
    (line,) = (line for line in LINES if line.endswith("--top-k 5"))
    assert cli.main([*shlex.split(line)[3:], *FEW, "--seeds", "1"]) == 0
    assert "20 bytes an entry" in capsys.readouterr().out


def test_a_length_of_0_cuts_nothing(settings):
    assert cli.main(["train-teacher", *FEW, "--max-grad-norm", "0"]) == 0
    assert settings[0]["max_grad_norm"] is None


def test_the_loop_of_ones_own_learns():
    namespace = {}
    exec(compile(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], "large.md", "exec"), namespace)
    images, student, teacher = tiny.images(64, seed=1), tiny.net(1), tiny.net(3, width=4)
    loader = DataLoader(TensorDataset(images.images.float() / 255, images.labels), batch_size=8)
    before = models.fingerprint(student)
    namespace["distil_in_parts"](teacher, student, loader)
    assert models.fingerprint(student) != before
    assert len(list(Loader(loader, torch.device("cpu")).epoch(0))) == 8
