"""DistilBERT's recipe: a student made of the teacher's layers, which learns from three losses at once.

Read it top to bottom: ``triple_loss`` is the idea, ``train`` hands it to the one loop. Networks are built in
``kdkit.models.bert``, text is read in ``kdkit.data``.

The teacher is asked at each step, not a cache as for images: which tokens are masked is drawn anew in each epoch, so
that hardly any question comes twice, and an answer has as many numbers as there are tokens in the vocabulary, for each
token. Those who store answers all the same keep the few largest of each.

Of DistilBERT's code this is the three losses, the initialisation and the schedule's shape. As there, gradients longer
than 5 are cut, after the losses were weighted: the heavier they weigh, the more often. Otherwise than there, batches
are smaller, tokens are masked whether they are rare or not, weights decay a little, and the rate is higher and rises
for a tenth of the steps where it does for a twentieth.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from kdkit import losses, models
from kdkit.data import files, tokens
from kdkit.data.seeds import epoch_seed, generator
from kdkit.losses.arguments import IGNORE_INDEX, answered, check_temperature, check_weight, positive, whole
from kdkit.measure import metrics
from kdkit.models import bert
from kdkit.training import step as core
from kdkit.training.batch import Batch
from kdkit.training.loop import fit
from kdkit.training.schedule import check_networks, check_numbers, check_unused
from kdkit.training.state import Run
from kdkit.training.step import Outputs

# of the command in DistilBERT's code's README; the paper names no weights
DEFAULTS = {"temperature": 2.0, "soft_weight": 5.0, "hard_weight": 2.0, "cosine_weight": 1.0}
PEAK_LR, WARM_UP = 2e-3, 0.1  # peak of the learning rate; share of the steps in which it rises
BETAS, WEIGHT_DECAY, MAX_GRAD_NORM = (0.9, 0.98), 0.01, 5.0
EVALUATION_BATCH = 64  # sequences
EVALUATION_SEED = 0  # of the tokens that are masked where networks are compared: the same for all


class TripleLoss(NamedTuple):
    """``total = soft_weight * soft + hard_weight * hard + cosine_weight * cosine``; ``soft`` is T^2 KL.

    Scalar tensors, or plain numbers.
    """

    total: Tensor
    soft: Tensor
    hard: Tensor
    cosine: Tensor


def triple_loss(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    labels: Tensor,
    attention_mask: Tensor,
    *,
    temperature: float = DEFAULTS["temperature"],
    soft_weight: float = DEFAULTS["soft_weight"],
    hard_weight: float = DEFAULTS["hard_weight"],
    cosine_weight: float = DEFAULTS["cosine_weight"],
) -> TripleLoss:
    """The three losses of DistilBERT on what student and teacher say of the same text: a ``TripleLoss`` of tensors.

    Parameters:
        student, teacher: pairs of logits ``[N, L, V]`` and last hidden states ``[N, L, width]`` (``bert.answer``).
        labels: int64 ``[N, L]``, the masked tokens, and -100 elsewhere: they are for the masked-language-model loss.
        attention_mask: bool ``[N, L]``, False in padding: the other two losses count every token but that.
        temperature: of the soft targets; T^2 is included.
        soft_weight, hard_weight, cosine_weight: numbers of at least 0; a term of weight 0 is not computed and reads 0.

    Each loss is a mean over the tokens that it counts. Raises ``ValueError`` as ``kdkit.losses`` does.
    Source: Sanh et al. 2019 (arXiv:1910.01108), section 2; the defaults are those of the command for one GPU in its
    code's README.
    """
    _check_weights(temperature, soft_weight, hard_weight, cosine_weight)
    (logits, hidden), (teacher_logits, teacher_hidden) = student, teacher
    total, soft, hard = losses.kd_terms(
        logits,
        teacher_logits,
        labels,
        temperature=temperature,
        soft_weight=soft_weight,
        hard_weight=hard_weight,
        mask=attention_mask,
    )
    if cosine_weight == 0:
        return TripleLoss(total, soft, hard, total.new_zeros(()))
    cosine = losses.cosine_distance(hidden, teacher_hidden, attention_mask)
    return TripleLoss(total + float(cosine_weight) * cosine, soft, hard, cosine)


def _check_weights(temperature: float, soft_weight: float, hard_weight: float, cosine_weight: float) -> None:
    check_temperature(temperature)
    weights = {"soft_weight": soft_weight, "hard_weight": hard_weight, "cosine_weight": cosine_weight}
    if not any([check_weight(*weight) for weight in weights.items()]):
        raise ValueError("all three weights are 0: nothing is left to learn from. Give one above 0.")
    if soft_weight == hard_weight == 0:
        raise ValueError(
            "soft_weight and hard_weight are both 0: hidden states alone do not teach the head which word to say. "
            "Give one of them above 0."
        )


class TripleDistillation:
    """``triple_loss`` for the loop; without a teacher the masked-language-model loss alone, with weight 1."""

    def __init__(self, **weights: float) -> None:
        self.weights = DEFAULTS | weights
        _check_weights(**self.weights)

    def __call__(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> TripleLoss:
        if teacher is not None:
            ours, theirs = ((outputs["logits"], outputs["hidden"]) for outputs in (student, teacher))
            # there labels that are missing are refused, and without a mask all tokens count
            return triple_loss(ours, theirs, batch.labels, batch.mask, **self.weights)  # type: ignore[arg-type]
        hard = losses.hard_cross_entropy(student["logits"], batch.labels)  # type: ignore[arg-type]  # refused there
        nothing = hard.new_zeros(())
        return TripleLoss(hard, nothing, hard, nothing)


def step(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    batch: tokens.MaskedBatch,
    optimizer: Optimizer,
    **weights: float,
) -> TripleLoss:
    """One step of distillation on ``batch``: a ``TripleLoss`` of plain numbers.

    ``weights``: as for ``triple_loss``. Leaves the teacher in eval mode and untouched, the student in train mode, the
    gradients cleared. Raises ``ValueError`` where the weights or the networks do not fit.
    """
    check(teacher, student, **weights)
    inputs, loss = as_batch(batch), TripleDistillation(**weights)
    terms = core.step(student, inputs, loss, optimizer, teacher=teacher, max_grad_norm=MAX_GRAD_NORM, read=True)
    return TripleLoss(*terms)


def as_batch(batch: tokens.MaskedBatch) -> Batch:
    """A batch of masked text as the loop takes it: inputs by their names, the attention mask for the soft term."""
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask.long(), "output_hidden_states": True}
    return Batch(inputs, batch.labels, batch.attention_mask)


def train(
    student: PreTrainedModel,
    corpus: tokens.Corpus,
    *,
    teacher: PreTrainedModel | None = None,
    temperature: float = DEFAULTS["temperature"],
    soft_weight: float = DEFAULTS["soft_weight"],
    hard_weight: float = DEFAULTS["hard_weight"],
    cosine_weight: float = DEFAULTS["cosine_weight"],
    epochs: int,
    batch_size: int = 32,
    lr: float = PEAK_LR,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool | Callable[[Run], Any] = True,
) -> Run:
    """Train ``student`` on ``corpus.train``, watch it on ``corpus.val``, leave ``corpus.test`` alone.

    Runs with the same ``seed`` read the same texts in the same order with the same tokens masked, whatever they learn
    from.

    Parameters:
        student: a BERT or DistilBERT that predicts masked tokens, trained in place, on the device where it is.
        corpus: a ``tokens.Corpus``.
        teacher: None for the masked-language-model loss alone, with weight 1; a network for distillation.
        temperature, soft_weight, hard_weight, cosine_weight: as for ``triple_loss``. Without a teacher they mean
            nothing, and others than the defaults are refused.
        batch_size: sequences a step.
        lr: peak of AdamW's learning rate. It rises over a tenth of the steps, then falls to 0 in a straight line.
        seed: of the order, of what is masked, and of dropout.
        checkpoint, progress: as for ``kdkit.train``: a run that was killed goes on from its last epoch, bit for bit.

    Returns a ``Run``; its history has loss, soft_loss, hard_loss and cosine_loss of each epoch, and of the validation
    texts val_perplexity, val_accuracy and val_agreement (None without a teacher). Raises ``ValueError`` for settings
    that contradict each other, and otherwise as ``kdkit.train`` does.
    """
    files.refuse_several_processes("this training")
    check_networks(student, teacher)
    check_numbers(epochs, seed)
    batch_size = whole(batch_size, "batch_size", 1)
    check_reads(student, corpus)
    weights = dict(zip(DEFAULTS, (temperature, soft_weight, hard_weight, cosine_weight), strict=True))
    if teacher is None:
        check_unused(weights, DEFAULTS, "without a teacher", "pass a teacher")
    else:
        check_reads(teacher, corpus)
        check(teacher, student, **weights)
    identity = _identity(corpus) | (dict.fromkeys(weights) if teacher is None else weights)
    optimizer = torch.optim.AdamW(student.parameters(), lr=positive("lr", lr), betas=BETAS, weight_decay=WEIGHT_DECAY)
    return fit(
        student,
        TextBatches(corpus, batch_size, seed, models.device_of(student)),
        TripleDistillation(**weights),
        optimizer,
        epochs=epochs,
        teacher=teacher,
        seed=seed,
        warm_up=WARM_UP,
        max_grad_norm=MAX_GRAD_NORM,
        validate=Validation(corpus, teacher),
        about=identity | {"batch_size": batch_size},
        checkpoint=checkpoint,
        progress=progress,
    )


class TextBatches:
    """The batches of an epoch: the sequences in an order of the seed's own, with other tokens masked each time."""

    def __init__(self, corpus: tokens.Corpus, batch_size: int, seed: int, device: torch.device) -> None:
        self.corpus, self.seed, self.device = corpus, seed, device
        self.count = len(corpus.train.input_ids)
        self.batch_size = min(batch_size, self.count)

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch ``number``, counted from 0."""
        drawn = generator(epoch_seed(self.seed, number))
        for index in torch.randperm(self.count, generator=drawn).split(self.batch_size):
            masked = tokens.mask_tokens(self.corpus.train.at(index), self.corpus.tokenizer, drawn)
            yield as_batch(masked.to(self.device))


class Validation:
    """What an epoch's line of the history says of the validation texts."""

    def __init__(self, corpus: tokens.Corpus, teacher: nn.Module | None) -> None:
        self.corpus, self.teacher = corpus, teacher
        self.batch: tokens.MaskedBatch | None = None
        self.teacher_answers: Tensor | None = None

    def __call__(self, student: nn.Module) -> dict[str, float | None]:
        if self.batch is None:  # once, and only if an epoch is left
            self.batch = mask_for_evaluation(self.corpus.val, self.corpus.tokenizer)
            if self.teacher is not None:
                self.teacher_answers = guesses(self.teacher, self.batch).argmax(-1)
        logits = guesses(student, self.batch)
        if not answered(logits).all():  # it has diverged, as ``fit`` then says
            return {"val_perplexity": math.nan, "val_accuracy": math.nan, "val_agreement": None}
        found = {f"val_{name}": value for name, value in judge(logits, self.batch).items()}
        theirs = self.teacher_answers
        same = None if theirs is None else (logits.argmax(-1) == theirs).double().mean().item()
        return {**found, "val_agreement": same}


# --------------------------------------------------------------------------------------------- judging


def mask_for_evaluation(sequences: tokens.Sequences, tokenizer: Any) -> tokens.MaskedBatch:
    """``sequences`` with some tokens masked, the same ones each time: networks are compared on the same batch."""
    return tokens.mask_tokens(sequences, tokenizer, generator(EVALUATION_SEED))


@torch.no_grad()
def guesses(network: nn.Module, batch: tokens.MaskedBatch) -> Tensor:
    """What ``network``, in eval mode, says of each masked token of ``batch``: logits ``[N, V]``, on the CPU.

    The mode of the network, and of each module in it, is put back afterwards.
    """
    device, found = models.device_of(network), []
    with models.evaluating(network):
        for start in range(0, len(batch.input_ids), EVALUATION_BATCH):
            part = tokens.MaskedBatch(*(tensor[start : start + EVALUATION_BATCH] for tensor in batch)).to(device)
            found.append(models.logits(network, as_batch(part).inputs)[part.labels != IGNORE_INDEX].float().cpu())
    return torch.cat(found)


def judge(logits: Tensor, batch: tokens.MaskedBatch, teacher_logits: Tensor | None = None) -> dict[str, float]:
    """How good guesses are, a dict: ``perplexity``, ``accuracy``; with a teacher's also ``agreement`` and ``kl`` to it.

    Perplexity is exp of the cross-entropy: among how many equally likely tokens one would have to guess to do as well.
    ``logits`` ``[N, V]``: one row for each masked token of ``batch``, in order (``guesses``).
    """
    labels = batch.labels[batch.labels != IGNORE_INDEX].to(logits.device)
    found = {
        "perplexity": losses.hard_cross_entropy(logits, labels).double().exp().item(),
        "accuracy": metrics.accuracy(logits, labels),
    }
    if teacher_logits is not None:
        found["agreement"] = metrics.agreement(logits, teacher_logits)
        found["kl"] = losses.kl_divergence(logits, teacher_logits).item()
    return found


def report(network: nn.Module, corpus: tokens.Corpus) -> dict:
    """``judge`` on the test texts; beside it whoever guesses by how common tokens are, and random weights: a dict.

    ``network``: as ``bert.teacher`` builds it, for as many tokens as the corpus's tokenizer knows.
    """
    batch = mask_for_evaluation(corpus.test, corpus.tokenizer)
    logits = guesses(network, batch)
    common = tokens.log_frequencies(corpus.train, corpus.tokenizer).float().expand_as(logits)
    sizes: Any = network.architecture
    untrained: nn.Module = bert.teacher(**sizes)
    untrained.to(models.device_of(network))
    others = {"by_frequency": judge(common, batch), "untrained": judge(guesses(untrained, batch), batch)}
    return {**judge(logits, batch), "masked_tokens": len(logits), **others}


# --------------------------------------------------------------------------------------------- checks


def check(teacher: PreTrainedModel, student: PreTrainedModel, **weights: float) -> None:
    """``ValueError`` for settings of ``triple_loss`` that contradict each other, or do not fit these two networks."""
    check_networks(student, teacher)
    weights = DEFAULTS | weights
    _check_weights(**weights)
    bert.check_fit(teacher, student, hidden=weights["cosine_weight"] > 0)


def check_reads(network: PreTrainedModel, corpus: tokens.Corpus) -> None:
    """``ValueError`` unless ``network`` can read ``corpus``: its tokens, its length, and a mark for masked ones."""
    bert.check_text_model("a student or teacher", network)
    if not isinstance(corpus, tokens.Corpus):
        raise ValueError(f"corpus must be a tokens.Corpus; got {type(corpus).__name__}.")
    tokenizer, known = corpus.tokenizer, network.config
    tokens.check(tokenizer)
    if len(tokenizer) > known.vocab_size:
        raise ValueError(
            f"the tokenizer knows {len(tokenizer)} tokens, the network {known.vocab_size}: they do not belong "
            "together. Take the tokenizer that the network learnt with."
        )
    length = corpus.train.input_ids.shape[1]
    if length > known.max_position_embeddings:
        raise ValueError(
            f"sequences of {length} tokens are longer than the {known.max_position_embeddings} that the network can "
            "read: encode with a smaller max_length."
        )


def _identity(corpus: tokens.Corpus) -> dict:
    """What makes a run a run on these texts, and on no others."""
    return {
        "corpus": "/".join(tokens.fingerprint(part) for part in (corpus.train, corpus.val)),
        "sequences": len(corpus.train.input_ids),
    }
