"""The recipe for networks that write: two choices, whose prefixes the student learns on, and which divergence.

A language model says the next token after a prefix, so a teacher can only correct a student *somewhere*:

| | KL(teacher || student), forward | KL(student || teacher), reverse |
|---|---|---|
| on texts of the teacher, or data | word-level distillation | the same, which seeks modes |
| on texts of the student | on-policy, forward | on-policy as GKD and its followers do it |

The first choice is ``texts`` (of whoever wrote them: people, the teacher, the teacher's likeliest answers) and
``own_share``, the share of steps in which the student answers the prompts itself. The second is ``divergence``.
Learning the tokens of the teacher's texts, "labels", is sequence-level distillation: it needs the texts, and no
teacher. With "reward to go" the student also learns from what its tokens led to, as in MiniLLM: all others judge each
token by itself.

Read it top to bottom: ``DIVERGENCES`` is the idea, ``train`` hands it to the one loop. What the student writes is drawn
from the seed of the epoch, so that a run that was killed goes on to the same bit.

Sources: Kim and Rush 2016 (arXiv:1606.07947) for word and sequence level; Agarwal et al. 2023 (arXiv:2306.13649), GKD,
for own prefixes, ``own_share`` (their lambda) and divergences; Gu et al. 2023 (arXiv:2306.08543), MiniLLM, for the
reverse KL of whole texts.
"""

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kdkit import losses, models
from kdkit.data import files
from kdkit.data.answers import Answers
from kdkit.data.seeds import epoch_seed, generator
from kdkit.losses.arguments import IGNORE_INDEX, check_weight, positive, whole
from kdkit.models import gpt
from kdkit.training.batch import Batch
from kdkit.training.loop import fit
from kdkit.training.schedule import check_networks, check_numbers
from kdkit.training.state import Run
from kdkit.training.step import Loss, Outputs

PEAK_LR, WARM_UP = 3e-3, 0.1  # peak of the learning rate; share of the steps in which it rises
BETAS, WEIGHT_DECAY, MAX_GRAD_NORM = (0.9, 0.98), 0.01, 1.0
OWN_ONLY = ("policy gradient", "reward to go")  # estimates that hold for texts of the student alone


# --------------------------------------------------------------------------------------------- which divergence


def labels(student: Outputs, teacher: Outputs | None, batch: Batch) -> Tensor:
    """Cross-entropy with the tokens of the text, a scalar: on the teacher's texts it estimates ``forward``."""
    return losses.hard_cross_entropy(student["logits"], batch.labels)  # type: ignore[arg-type]  # refused there


def forward(student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
    """KL(teacher || student) of the next token: a scalar, the mean over the tokens of the answers."""
    return losses.kl_divergence(student["logits"], teacher["logits"], mask=batch.mask)


def reverse(student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
    """KL(student || teacher) of the next token, over the whole vocabulary: a scalar."""
    return losses.reverse_kl(student["logits"], teacher["logits"], mask=batch.mask)


def jensen_shannon(student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
    """The Jensen-Shannon divergence of the next token, half-way between the two: a scalar."""
    return losses.jensen_shannon(student["logits"], teacher["logits"], beta=0.5, mask=batch.mask)


def policy_gradient(student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
    """``reverse``, estimated from the one token that the student drew at each place: its log s - log t. A scalar."""
    return losses.sampled_reverse_kl(student["logits"], teacher["logits"], batch.labels)  # type: ignore[arg-type]


def reward_to_go(student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
    """The reverse KL of whole texts, per token, a scalar: each token also answers for what those after it cost.

    These are sampled; the cost of the token itself is taken over the whole vocabulary, as ``reverse`` does.
    Source: Gu et al. 2023 (arXiv:2306.08543), equations 2 and 3, without their mixed-in teacher and normalisation.
    """
    logits, drawn = (student["logits"], teacher["logits"]), batch.labels
    both = losses.sampled_reverse_kl(*logits, drawn, to_go=True)  # type: ignore[arg-type]
    own = losses.sampled_reverse_kl(*logits, drawn)  # type: ignore[arg-type]
    return both - own + losses.reverse_kl(*logits, mask=batch.mask)


DIVERGENCES: dict[str, Loss] = {
    "labels": labels,
    "forward": forward,  # type: ignore[dict-item]  # these are called with a teacher
    "reverse": reverse,  # type: ignore[dict-item]
    "jensen-shannon": jensen_shannon,  # type: ignore[dict-item]
    "policy gradient": policy_gradient,  # type: ignore[dict-item]
    "reward to go": reward_to_go,  # type: ignore[dict-item]
}


# --------------------------------------------------------------------------------------------- whose prefixes


def as_batch(texts: Answers) -> Batch:
    """Texts as the loop takes them: at each place the token that follows is the label.

    This is the one shift: what ``losses.next_token`` does to logits is done before a network is asked. Labels are -100,
    and the mask is False, where what follows is prompt or padding.
    """
    counts, follows = texts.loss_mask[:, 1:], texts.input_ids[:, 1:]
    given = gpt.inputs(texts.input_ids[:, :-1], texts.attention_mask[:, :-1])
    return Batch(given, follows.masked_fill(~counts, IGNORE_INDEX), counts)


class TextBatches:
    """The batches of an epoch: prompts in an order of the seed's own, answered in ``texts`` or by the student.

    ``own_share``: in which share of the steps ``student`` answers, as it is then. ``written``: how many tokens it has
    written, and ``scored``: how many texts a teacher was asked about, in this epoch.
    """

    def __init__(
        self, texts: Answers, batch_size: int, seed: int, student: PreTrainedModel, own_share: float = 0.0
    ) -> None:
        self.texts, self.seed, self.student, self.own_share = texts, seed, student, own_share
        self.count = len(texts.input_ids)
        self.batch_size = min(batch_size, self.count)
        self.written = self.scored = 0

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch ``number``, counted from 0."""
        self.written = self.scored = 0
        drawn, device = generator(epoch_seed(self.seed, number)), models.device_of(self.student)
        for index in torch.randperm(self.count, generator=drawn).split(self.batch_size):
            texts = self.texts.at(index).to(device)
            if self.own_share and torch.rand((), generator=drawn) < self.own_share:
                longest = texts.input_ids.shape[1] - texts.prompt_length
                texts = gpt.write(self.student, texts.prompts, longest, drawn)
                self.written += int(texts.loss_mask.sum())
            self.scored += len(index)
            yield as_batch(texts)

    def counts(self, teacher: nn.Module | None) -> dict[str, int]:
        """What the epoch has cost: ``teacher_calls``, texts that a teacher scored, and ``student_tokens`` written."""
        return {"teacher_calls": 0 if teacher is None else self.scored, "student_tokens": self.written}


def train(
    student: PreTrainedModel,
    texts: Answers,
    *,
    teacher: PreTrainedModel | None = None,
    divergence: str | Loss = "labels",
    own_share: float = 0.0,
    epochs: int,
    batch_size: int = 128,
    lr: float = PEAK_LR,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool | Callable[[Run], Any] = True,
) -> Run:
    """Train ``student`` to answer the prompts of ``texts``.

    Runs with the same ``seed`` see the same prompts in the same order, whoever answers them.

    Parameters:
        student: a network that says the next token, such as ``gpt.gpt`` makes, trained in place.
        texts: ``Answers``: prompts, and what was written there by people, or by the teacher (``gpt.write``).
        teacher: None for "labels", a network with the same vocabulary for all else.
        divergence: one of ``DIVERGENCES``, or a loss of your own (``training.Loss``).
        own_share: in which share of the steps the student answers the prompts itself: 0 is off-policy, 1 on-policy.
        epochs: how often all prompts are gone through, ``batch_size`` of them a step.
        lr: peak of AdamW's learning rate. It rises over a tenth of the steps, then falls to 0 in a straight line.
        seed: of the order, and of what the student writes.
        checkpoint, progress: as for ``kdkit.train``: a run that was killed goes on from its last epoch, bit for bit.

    Returns a ``Run``; its history has the loss of each epoch, the ``teacher_calls`` (texts that the teacher scored) and
    the ``student_tokens`` (that the student wrote). Raises ``ValueError`` for settings that contradict each other, and
    otherwise as ``kdkit.train`` does.
    """
    files.refuse_several_processes("this training")
    check(student, texts, teacher, divergence, own_share)
    check_numbers(epochs, seed)
    batches = TextBatches(texts, whole(batch_size, "batch_size", 1), seed, student, own_share)
    named = divergence if isinstance(divergence, str) else repr(divergence)
    about = {"texts": fingerprint(texts), "divergence": named, "own_share": own_share, "batch_size": batch_size}
    optimizer = torch.optim.AdamW(student.parameters(), lr=positive("lr", lr), betas=BETAS, weight_decay=WEIGHT_DECAY)
    return fit(
        student,
        batches,
        DIVERGENCES[divergence] if isinstance(divergence, str) else divergence,
        optimizer,
        epochs=epochs,
        teacher=teacher,
        seed=seed,
        warm_up=WARM_UP,
        max_grad_norm=MAX_GRAD_NORM,
        validate=lambda _: batches.counts(teacher),
        about=about,
        checkpoint=checkpoint,
        progress=progress,
    )


def cost(run: Run) -> dict[str, int]:
    """What a whole ``run`` has cost: its ``teacher_calls`` and ``student_tokens``; its time is ``run.seconds``."""
    return {name: sum(entry[name] for entry in run.history) for name in ("teacher_calls", "student_tokens")}


@torch.no_grad()
def judge(
    network: PreTrainedModel, texts: Answers, *, teacher: PreTrainedModel | None = None, batch_size: int = 64
) -> dict[str, float]:
    """How well ``network`` says each token of ``texts`` that counts, a dict: ``perplexity``, exp of the cross-entropy.

    With ``teacher`` also ``kl``, KL(teacher || network) of the next token in nats, over the whole vocabulary. Both are
    asked ``batch_size`` texts at a time, in eval mode, and are then as they were.
    """
    sums = {"perplexity": 0.0, "kl": 0.0}
    with contextlib.ExitStack() as stack:
        for each in (network, teacher):
            stack.enter_context(models.evaluating(each) if each is not None else contextlib.nullcontext())
        for index in torch.arange(len(texts.input_ids)).split(batch_size):
            part = texts.at(index).to(models.device_of(network))
            batch, count = as_batch(part), int(part.loss_mask[:, 1:].sum())
            said = models.logits(network, batch.inputs)
            sums["perplexity"] += count * labels({"logits": said}, None, batch).item()
            if teacher is not None:
                theirs = {"logits": models.logits(teacher, batch.inputs)}
                sums["kl"] += count * forward({"logits": said}, theirs, batch).item()
    tokens = int(texts.loss_mask[:, 1:].sum())
    found = {"perplexity": math.exp(sums["perplexity"] / tokens)}
    return found if teacher is None else found | {"kl": sums["kl"] / tokens}


def fingerprint(texts: Answers) -> str:
    """A short hash of ``texts``: their tokens, and which of them count."""
    digest = hashlib.sha256(f"{list(texts.input_ids.shape)} {texts.prompt_length}".encode())
    for tensor in texts[:3]:
        digest.update(tensor.cpu().long().numpy().tobytes())
    return digest.hexdigest()[:16]


def check(
    student: PreTrainedModel,
    texts: Answers,
    teacher: PreTrainedModel | None,
    divergence: str | Loss,
    own_share: float,
) -> None:
    """``ValueError`` for settings that contradict each other, or texts that these networks cannot read."""
    check_networks(student, teacher)
    if not isinstance(texts, Answers):
        raise ValueError(f"texts must be Answers (kdkit.data.answers); got {type(texts).__name__}.")
    if isinstance(divergence, str) and divergence not in DIVERGENCES:
        raise ValueError(f"divergence must be one of {', '.join(DIVERGENCES)}, or a loss; got {divergence!r}.")
    if not check_weight("own_share", own_share) <= 1:
        raise ValueError(f"own_share must lie between 0 and 1: it is a share of the steps; got {own_share}.")
    if divergence == "labels" and (teacher is not None or own_share):
        raise ValueError(
            "labels are the tokens of the texts: no teacher is asked, and a student that learnt its own tokens would "
            "learn nothing. Leave teacher and own_share out, or take another divergence."
        )
    if isinstance(divergence, str) and divergence != "labels" and teacher is None:
        raise ValueError(f"divergence {divergence!r} is one from a teacher: pass teacher=.")
    if divergence in OWN_ONLY and own_share != 1:
        raise ValueError(f"{divergence!r} holds for texts of the student alone: give own_share=1; got {own_share}.")
    for name, network in ("student", student), ("teacher", teacher):
        if network is not None:
            _check_reads(name, network, texts, student.config.vocab_size)


def _check_reads(name: str, network: PreTrainedModel, texts: Answers, vocab_size: int) -> None:
    known, length = network.config, texts.input_ids.shape[1]
    if known.vocab_size != vocab_size:
        raise ValueError(
            f"the student knows {vocab_size} tokens, the teacher {known.vocab_size}: their logits cannot be compared. "
            "If the first tokens are the same and the rest is padding, cut both to the shorter vocabulary."
        )
    largest = int(texts.input_ids.max())
    if largest >= known.vocab_size:
        raise ValueError(f"texts hold token {largest}, and the {name} knows 0 to {known.vocab_size - 1} only.")
    if length > known.max_position_embeddings:
        raise ValueError(f"texts of {length} tokens are longer than the {name}'s {known.max_position_embeddings}.")
