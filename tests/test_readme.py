"""What the README shows is run: the snippet for one's own loop, and every command."""

import re
import shlex
from pathlib import Path

import pytest
import reading
import tiny
import torch

import kdkit
from kdkit import data, models, studies
from kdkit.cli import main as cli
from kdkit.studies import Setting

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FEW = ["--train-images", "100", "--epochs", "12", "--batch-size", "10", "--width", "8"]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def snippet(number):
    """What the Python block of that number defines."""
    namespace = {}
    exec(compile(blocks("python")[number], "README.md", "exec"), namespace)
    return namespace


@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_the_snippet_distils_a_model_whose_output_has_logits():
    namespace = snippet(0)
    images = tiny.images(64, seed=1)
    inputs = images.images.float() / 255
    dataset = torch.utils.data.TensorDataset(inputs, images.labels)
    teacher, student = tiny.HuggingFaceLike(tiny.net(3, width=4)), tiny.HuggingFaceLike(tiny.net(1))
    before = models.fingerprint(teacher), models.fingerprint(student)
    losses = namespace["distil"](teacher, student, dataset, epochs=2)
    assert models.fingerprint(teacher) == before[0] and models.fingerprint(student) != before[1]
    assert losses.total == pytest.approx(0.9 * losses.soft + 0.1 * losses.hard, rel=1e-5)


@pytest.mark.parametrize("count", [5, 32, 33, 64, 65])
def test_the_snippet_trains_batchnorm_with_any_number_of_samples(count):
    namespace, nn = snippet(0), torch.nn
    student = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    dataset = torch.utils.data.TensorDataset(torch.randn(count, 6), torch.randint(3, (count,)))
    assert namespace["distil"](nn.Linear(6, 3), student, dataset).total > 0


@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_the_snippet_learns_features_through_a_projector_of_its_own():
    namespace, images = snippet(1), tiny.images(64, seed=1)
    dataset = torch.utils.data.TensorDataset(images.images.float() / 255, images.labels)
    hints, kind = [], namespace["Hint"]
    namespace["Hint"] = lambda *features: hints.append(kind(*features)) or hints[0]
    loader = torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=True)
    run = namespace["learn_features"](tiny.net(3, width=4), tiny.net(1), loader, epochs=3)
    before = models.Projector(torch.zeros(2, 2, 1, 1), torch.zeros(2, 4, 1, 1))
    assert models.fingerprint(hints[0].projector) != models.fingerprint(before)
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def commands():
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("python -m kdkit")]


def test_every_command_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "THINGS_PER_CLASS", 20)
    small = Setting(images=100, epochs=1, students=((2, 3),), shift=0, batch_size=50)
    monkeypatch.setitem(studies.SETTINGS, "things", {"small": small})
    for name, text in reading.documents().items():
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{name}.txt").write_text(text)
    fewer = {"train-teacher": FEW, "distill": FEW, "train-bert": [*reading.FEW, "--data", str(tmp_path / "texts")]}
    fewer["train-gpt"] = ["--epochs", "1", "--width", "4", "--depth", "1", "--batch-size", "2000"]
    names = [shlex.split(line)[3] for line in commands()]
    usual = ["doctor", "train-teacher", "distill", "look", "evaluate", "export", "experiments"]
    assert names == [*usual, "train-bert", "train-gpt", "caches"]
    for line in commands():
        arguments = shlex.split(line)[3:]
        assert cli.main(arguments + fewer.get(arguments[0], [])) == 0, line


def test_the_map_says_of_each_package_what_kdkit_says():
    rows = re.findall(r"^\| \[`kdkit/(\w+)/`\]\(kdkit/(\w+)\) \| (.*) \|$", README, re.MULTILINE)
    assert [(name, name, said.replace("``", "`")) for name, said in kdkit.PACKAGES.items()] == rows


def test_something_to_run_comes_within_130_words():
    assert len(README.split("```")[0].split()) <= 130
