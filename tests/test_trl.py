"""TRL's losses and trainers against the kit's: what was stored of them, and what they say where TRL is installed."""

import pytest
import torch

from benchmarks import same_in_trl as benchmark
from kdkit import zoo
from kdkit.course import libraries, measured
from kdkit.data import sums
from tools import floors

NEEDED = f"TRL is no dependency of the kit: {libraries.INSTALL}"


@pytest.fixture
def trl(monkeypatch):
    """TRL, where it is installed. ``make libraries`` runs these tests with it."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    return pytest.importorskip("trl", reason=NEEDED)


def test_the_kits_losses_say_what_trl_said():
    rows = libraries.against_trl(benchmark.in_kdkit)
    assert len(rows) == len(benchmark.BETAS) * len(benchmark.TEMPERATURES)
    assert max(float(row["difference"]) for row in rows.values()) < 1e-5


@pytest.mark.parametrize(
    "broken",
    [
        lambda s, t, labels, beta, temperature: benchmark.in_kdkit(s, t, labels, 1 - beta, temperature),  # other side
        lambda s, t, labels, beta, temperature: benchmark.in_kdkit(t, s, labels, beta, temperature),  # swapped
        lambda s, t, labels, beta, temperature: benchmark.in_kdkit(s, t, labels, beta, 1.0),
        lambda s, t, labels, beta, temperature: temperature**2 * benchmark.in_kdkit(s, t, labels, beta, temperature),
        lambda s, t, labels, beta, temperature: benchmark.in_kdkit(s, t, labels.clamp(min=0), beta, temperature),
    ],
    ids=["beta from the other end", "sides", "no temperature", "T squared", "mask"],
)
def test_another_mapping_is_seen(broken):
    rows = libraries.against_trl(broken)
    assert max(float(row["difference"]) for row in rows.values()) > 1e-3


def test_what_is_said_of_the_stored_steps_holds():
    steps = {name: libraries.Step(**found) for name, found in measured.load("trl")["steps"].items()}
    for step in steps.values():
        assert step.trl == pytest.approx(step.kdkit * step.tokens / step.divided_by, rel=1e-5)
    even, odd = (libraries.in_words(name) for name in ("DistillationTrainer", "GKDTrainer, lmbda 1"))
    assert "divided" not in even and "45 / 40" in odd
    assert steps["GKDTrainer, lmbda 1"].tokens != steps["GKDTrainer, lmbda 1"].divided_by


def test_the_tokenizer_counts_as_sums_do():
    text = "087=45+42."
    assert libraries.tokenizer()(text)["input_ids"] == sums.encode([text])[0].tolist()
    assert libraries.tokenizer().decode(sums.encode([text])[0]) == text


def test_without_trl_it_is_said_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not libraries.trl_installed() and libraries.INSTALL in capsys.readouterr().out
    assert libraries.INSTALL.split()[-1] in floors.LIBRARIES


# ------------------------------------------------------------------------------------------- where TRL is installed


def test_trl_says_the_same_as_when_it_was_stored(trl):
    stored = measured.load("trl")
    assert trl.__version__ == stored["versions"]["trl"]
    for now, then in zip(benchmark.said(), stored["losses"], strict=True):
        assert now == pytest.approx(then, abs=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("beta", [0.0, 0.9, 1.0])
def test_a_step_of_the_distillation_trainer_has_the_kits_loss(trl, beta):
    trainer = benchmark.distillation(beta)
    before = [weight.clone() for weight in trainer.model.parameters()]
    step = libraries.one_step(trainer, benchmark.in_kdkit)
    assert step.trl == pytest.approx(step.kdkit, abs=1e-5) and step.tokens == step.divided_by
    assert any(not torch.equal(old, new) for old, new in zip(before, trainer.model.parameters(), strict=True))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", [name for name in benchmark.STEPS if name.startswith("GKD")])
def test_a_step_of_gkd_has_the_kits_loss_and_the_datas_number_of_tokens(trl, name):
    trainer = benchmark.STEPS[name]()
    step = libraries.one_step(trainer, benchmark.in_kdkit)
    assert step.trl == pytest.approx(step.kdkit * step.tokens / step.divided_by, rel=1e-5)
    answers = [sum(row["completion_mask"]) for row in libraries.prompts()]
    assert step.divided_by == sum(answers), "whoever wrote the texts"
    assert (step.tokens == step.divided_by) == (name == "GKDTrainer, lmbda 0")


def test_the_teacher_of_the_stored_steps_is_the_one_that_ships():
    assert benchmark.student().config.vocab_size == zoo.load("sums-teacher").config.vocab_size == len(sums.CHARACTERS)
