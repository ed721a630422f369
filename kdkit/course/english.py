"""A small GPT that writes as Python's documentation does, students of it, and what the stored study of top-k says.

For notebook 09. What is trained here is for looking, not for results: one seed, a few steps.
"""

import functools
import statistics
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdkit import losses, models, studies, zoo
from kdkit.course.widgets.top_k import bytes_a_token
from kdkit.data import text, tokens
from kdkit.data.answers import Answers
from kdkit.data.seeds import generator
from kdkit.measure.intervals import Paired
from kdkit.models import gpt
from kdkit.training import generators
from kdkit.training.step import Batch, Loss, Outputs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAME = "python-gpt"
ARMS: dict[str, tuple[int | None, str]] = {  # how many of the teacher's tokens, and what becomes of the others
    "full": (None, ""),
    "20 + tail": (20, "tail"),
    "20 alone": (20, "alone"),
    "5 + tail": (5, "tail"),
    "5 alone": (5, "alone"),
    "1": (1, "alone"),
    "20 among themselves": (20, "among themselves"),
    "labels": (0, ""),
}
STEPS, BATCH, JUDGED, RATE = 100, 16, 100, 1e-3  # of a student of the notebook


@functools.cache
def teacher() -> PreTrainedModel:
    """The shipped teacher, which writes English."""
    return zoo.load(NAME)  # type: ignore[return-value]


@functools.cache
def tokenizer() -> "PreTrainedTokenizerBase":
    """Its word pieces: those of notebook 06."""
    return zoo.tokenizer(NAME)


@functools.cache
def corpus() -> tuple[Answers, Answers, Answers]:
    """Texts of Python's documentation to learn from, to choose by and to report."""
    found = tokens.corpus(text.python(), tokenizer(), teacher().config.max_position_embeddings)
    return tokens.to_write(found.train), tokens.to_write(found.val), tokens.to_write(found.test)


def write(network: PreTrainedModel, begin: str, count: int = 3, temperature: float = 1.0, seed: int = 0) -> list[str]:
    """``count`` texts that ``network`` samples at ``temperature``, each of which goes on from ``begin``."""
    asked = tokens.encode([begin], tokenizer()).input_ids[:1]
    asked = asked[:, : int((asked != tokenizer().pad_token_id).sum()) - 1].expand(count, -1)  # without [SEP]
    length = network.config.max_position_embeddings - asked.shape[1]
    prompts = asked, torch.ones_like(asked, dtype=torch.bool)
    said = gpt.write(network, prompts, length, generator(seed), temperature=temperature)
    return [_as_text(row[mask][1:]) for row, mask in zip(*said[:2], strict=True)]


def _as_text(ids):
    return tokenizer().decode(ids, skip_special_tokens=True)


@torch.no_grad()
def places(sentence: str) -> dict[str, Any]:
    """Three places of a ``sentence`` for ``TopKPanel``: where the teacher is surest, less sure, and least sure.

    By the entropy of what it says there; the second is in the middle. A dict of ``logits``, ``tokens``, ``prefixes``.
    """
    asked = tokens.encode([sentence], tokenizer()).input_ids[:1]
    asked = asked[:, : int((asked != tokenizer().pad_token_id).sum())]
    said = models.logits(teacher(), gpt.inputs(asked[:, :-1], torch.ones_like(asked[:, :-1], dtype=torch.bool)))[0]
    order = torch.special.entr(said.softmax(-1)).sum(-1)[2:].argsort() + 2  # after two words at least
    chosen = [int(order[at]) for at in (0, len(order) // 2, -1)]
    names = tokenizer().convert_ids_to_tokens([*range(len(tokenizer()))])
    prefixes = ["… " * (at > 6) + _as_text(asked[0, max(1, at - 5) : at + 1]) for at in chosen]
    return {"logits": said[chosen].double(), "tokens": names, "prefixes": prefixes}


def divergence(arm: str) -> str | Loss:
    """The loss of one of the ``ARMS``, as ``kdkit.training.generators`` takes it.

    *alone*: the teacher's k likeliest, renormalised, all others 0. *among themselves*: the student's are renormalised,
    too.
    """
    k, others = ARMS[arm]
    if not k:
        return "forward" if k is None else "labels"

    def top_k(student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        known = losses.top_k(teacher["logits"], k)
        if others == "alone":  # ruled out by the teacher
            cut = torch.full_like(teacher["logits"], -torch.inf).scatter(-1, known.indices, known.log_probabilities)
            return losses.kl_divergence(student["logits"], cut, mask=batch.mask)
        return losses.top_k_kl(student["logits"], *known, tail=others == "tail", mask=batch.mask)

    return top_k  # type: ignore[return-value]  # it is called with a teacher


def stored_bytes(arm: str, vocab_size: int) -> int:
    """What is stored of the teacher for each token, in half precision; of one token its place says all."""
    k, _ = ARMS[arm]
    return {None: 2 * vocab_size, 1: 2, 0: 0}.get(k) or bytes_a_token(k or 0, vocab_size)


def go_on(arm: str, seed: int = 0) -> PreTrainedModel:
    """A student of half the teacher's layers, after ``STEPS`` steps of one of the ``ARMS``."""
    student, how = gpt.student(teacher()), divergence(arm)  # type: ignore[arg-type]
    drawn = torch.randperm(len(corpus()[0].input_ids), generator=generator(seed))[: STEPS * BATCH]
    settings: dict[str, Any] = {"epochs": 1, "batch_size": BATCH, "lr": RATE, "seed": seed}
    asked = None if how == "labels" else teacher()
    generators.train(student, corpus()[0].at(drawn), teacher=asked, divergence=how, **settings)
    return student


def measures(network: PreTrainedModel) -> dict[str, str]:
    """KL of the teacher to ``network`` on texts that neither has learnt from: a row of a table."""
    found = generators.judge(network, corpus()[2].at(slice(JUDGED)), teacher=teacher())
    return {"KL to the teacher": f"{found['kl']:.3f}"}


# ---------------------------------------------------------------------------------------- what the study says


def table(result: dict, student: str) -> dict[str, dict[str, str]]:
    """All arms of a ``student``: means over seeds, and the difference from "full" with its 95 % interval."""
    rows = {"start": {"bytes a token": "", "KL": f"{studies.top_k.start(result, student)['kl']:.3f}"}}
    rows["start"] |= {"more than full": ""}
    for arm in studies.top_k.arms(result, student):
        pair = studies.top_k.change(result, student, arm, "full")
        more = "" if arm == "full" else f"{pair.mean:+.3f} ({pair.low:+.3f} to {pair.high:+.3f})"
        stored = stored_bytes(arm, len(tokenizer()))
        rows[arm] = {"bytes a token": f"{stored:,}", "KL": f"{_mean(result, student, arm):.3f}", "more than full": more}
    return rows


def _mean(result, student, arm):
    return statistics.mean(studies.top_k.by_seed(result, student, arm).values())


def changes(result: dict, student: str) -> dict[str, Paired]:
    """How much farther from the teacher than "full" each other arm that asks it stays, in nats: name to ``Paired``."""
    arms = [arm for arm in studies.top_k.arms(result, student) if arm not in ("full", "labels")]
    return {arm: studies.top_k.change(result, student, arm, "full") for arm in arms}


def nearer(result: dict, student: str, arms: tuple[str, str] = ("5 + tail", "20 alone")) -> str:
    """Which of two ``arms`` comes nearer to the teacher, by the mean over the seeds."""
    return min(arms, key=lambda arm: _mean(result, student, arm))


def verdict(result: dict, student: str, arms: tuple[str, str] = ("5 + tail", "20 alone")) -> str:
    """A title: whether one of two ``arms`` is shown to come nearer to the teacher, and by how much."""
    near = nearer(result, student, arms)
    other = arms[1 - arms.index(near)]
    pair = studies.top_k.change(result, student, other, near)
    if pair.low <= 0:
        return f"Between “{arms[0]}” and “{arms[1]}” no difference is shown"
    return f"“{near}” comes nearer to the teacher than “{other}”, by {pair.mean:.2f} nats"
