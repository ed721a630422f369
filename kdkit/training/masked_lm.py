"""DistilBERT's recipe: a student made of the teacher's layers, which learns from three losses at once.

Read it top to bottom: ``triple_loss`` is the idea, ``step`` one step of it, ``train`` repeats that over epochs, for
the student as for a teacher of its own. Networks are built in ``kdkit.models.bert``, text is read in ``kdkit.data``.

The teacher is asked at each step, not a cache as for images: which tokens are masked is drawn anew in each epoch, so
that hardly any question comes twice, and an answer has for each token as many numbers as the vocabulary has tokens.
Those who store answers all the same keep the few largest of each.

Of DistilBERT's code this is the three losses, the initialisation and the schedule's shape. As there, gradients longer
than 5 are cut, after the losses were weighted: the heavier they weigh, the more often. Otherwise than there, batches
are smaller, tokens are masked whether they are rare or not, weights decay a little, and the rate is higher and rises
for a tenth of the steps where it does for a twentieth.
"""

import math
from typing import NamedTuple

import torch

from kdkit import losses, models
from kdkit.data import seeds, tokens
from kdkit.losses import arguments
from kdkit.losses.arguments import positive
from kdkit.measure import metrics
from kdkit.models import bert
from kdkit.training.runs import Run, advance, check_idle, check_schedule, epoch_seed, keep_going, learning_rate

TEMPERATURE, SOFT, HARD, COSINE = 2.0, 5.0, 2.0, 1.0  # of the command in its code's README; the paper names no weights
PEAK_LR, WARM_UP = 2e-3, 0.1  # peak of the learning rate; share of the steps in which it rises
BETAS, WEIGHT_DECAY, LONGEST_GRADIENT = (0.9, 0.98), 0.01, 5.0
EVALUATION_BATCH = 64  # sequences
EVALUATION_SEED = 0  # of the tokens that are masked where networks are compared: the same for all


class TripleLoss(NamedTuple):
    """``total = soft_weight * soft + hard_weight * hard + cosine_weight * cosine``; ``soft`` is T^2 KL.

    Scalar tensors, or plain numbers.
    """

    total: torch.Tensor
    soft: torch.Tensor
    hard: torch.Tensor
    cosine: torch.Tensor


def triple_loss(
    student,
    teacher,
    labels,
    attention_mask,
    *,
    temperature=TEMPERATURE,
    soft_weight=SOFT,
    hard_weight=HARD,
    cosine_weight=COSINE,
):
    """The three losses of DistilBERT on what student and teacher say of the same text: a ``TripleLoss`` of tensors.

    Parameters:
        student, teacher: pairs of logits ``[N, L, V]`` and last hidden states ``[N, L, width]`` (``bert.answer``).
        labels: int64 ``[N, L]``, the masked tokens, and -100 elsewhere: they are for the masked-language-model loss.
        attention_mask: bool ``[N, L]``, False where padding is: the other two losses count every token but that.
        temperature: of the soft targets; T^2 is included.
        soft_weight, hard_weight, cosine_weight: numbers of at least 0; a term of weight 0 is not computed and reads 0.

    Each loss is a mean over the tokens that it counts. Raises ``ValueError`` as ``kdkit.losses`` does.
    Source: Sanh et al. 2019 (arXiv:1910.01108), section 2; the defaults are those of the command for one GPU in its
    code's README.
    """
    _check_weights(temperature, soft_weight, hard_weight, cosine_weight)
    (logits, hidden), (teacher_logits, teacher_hidden) = student, teacher
    weights = {"temperature": temperature, "soft_weight": soft_weight, "hard_weight": hard_weight}
    total, soft, hard = losses.kd_terms(logits, teacher_logits, labels, mask=attention_mask, **weights)
    if cosine_weight == 0:
        return TripleLoss(total, soft, hard, total.new_zeros(()))
    cosine = losses.cosine_distance(hidden, teacher_hidden, attention_mask)
    return TripleLoss(total + float(cosine_weight) * cosine, soft, hard, cosine)


def _check_weights(temperature, soft_weight, hard_weight, cosine_weight):
    arguments.check_temperature(temperature)
    weights = {"soft_weight": soft_weight, "hard_weight": hard_weight, "cosine_weight": cosine_weight}
    if not any([arguments.check_weight(*weight) for weight in weights.items()]):
        raise ValueError("all three weights are 0: nothing is left to learn from. Give one above 0.")
    if soft_weight == hard_weight == 0:
        raise ValueError(
            "soft_weight and hard_weight are both 0: hidden states alone do not teach the head which word to say. "
            "Give one of them above 0."
        )


def step(teacher, student, batch, optimizer, **weights):
    """One step of distillation on ``batch``, a ``tokens.MaskedBatch``: a ``TripleLoss`` of plain numbers.

    ``weights``: as for ``triple_loss``. Leaves the teacher in eval mode and untouched, the student in train mode, the
    gradients cleared.
    """
    check(teacher, student, **weights)
    models.train_mode(student)
    answers = _answer(student, batch), _ask(teacher, batch)
    terms = triple_loss(*answers, batch.labels, batch.attention_mask, **weights)
    return _update(student, optimizer, terms)


@torch.no_grad()
def _ask(teacher, batch):
    models.eval_mode(teacher)
    return _answer(teacher, batch)


def _answer(network, batch):
    return bert.answer(network, batch.input_ids, batch.attention_mask)


def _update(student, optimizer, terms):
    optimizer.zero_grad()
    terms.total.backward()
    torch.nn.utils.clip_grad_norm_(student.parameters(), LONGEST_GRADIENT)
    optimizer.step()
    optimizer.zero_grad()
    return TripleLoss(*(term.item() for term in terms))


def _step_alone(student, batch, optimizer):
    """The same without a teacher: the masked-language-model loss alone."""
    models.train_mode(student)
    hard = losses.hard_cross_entropy(_answer(student, batch)[0], batch.labels)
    return _update(student, optimizer, TripleLoss(hard, torch.zeros(()), hard, torch.zeros(())))


def train(
    student,
    corpus,
    *,
    teacher=None,
    temperature=TEMPERATURE,
    soft_weight=SOFT,
    hard_weight=HARD,
    cosine_weight=COSINE,
    epochs,
    batch_size=32,
    lr=PEAK_LR,
    seed=0,
    checkpoint=None,
    progress=True,
):
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

    Returns a ``Run``; its history tells loss, soft_loss, hard_loss and cosine_loss of each epoch, and of the validation
    texts val_perplexity, val_accuracy and val_agreement (None without a teacher). Raises ``ValueError`` for settings
    that contradict each other, and otherwise as ``kdkit.train`` does.
    """
    schedule = check_schedule(student, teacher, epochs, batch_size, seed)
    check_reads(student, corpus)
    weights = {"temperature": temperature, "soft_weight": soft_weight, "hard_weight": hard_weight}
    weights["cosine_weight"] = cosine_weight
    if teacher is not None:
        check_reads(teacher, corpus)
        check(teacher, student, **weights)
    else:
        check_idle(weights, dict(zip(weights, (TEMPERATURE, SOFT, HARD, COSINE), strict=True)))
    settings = {
        **_identity(student, corpus, teacher, weights),
        **schedule,
        "lr": positive("lr", lr),
    }
    run = Run(student, settings)
    optimizer = torch.optim.AdamW(student.parameters(), lr=lr, betas=BETAS, weight_decay=WEIGHT_DECAY)
    steps = -(-len(corpus.train.input_ids) // batch_size)

    def prepare():
        batch = mask_for_evaluation(corpus.val, corpus.tokenizer)
        teacher_val = None if teacher is None else guesses(teacher, batch).argmax(-1)

        def one_epoch(epoch, bar):
            means = _run_epoch(run, optimizer, epoch, steps, corpus, teacher, weights, bar)
            return {**means, **_validate(student, batch, teacher_val)}

        return one_epoch

    return keep_going(run, optimizer, prepare, steps, checkpoint, progress)


def _run_epoch(run, optimizer, epoch, steps, corpus, teacher, weights, bar):
    settings, device = run.settings, models.device_of(run.student)
    generator = seeds.generator(epoch_seed(settings["seed"], epoch))
    order = torch.randperm(len(corpus.train.input_ids), generator=generator)
    sums, first = torch.zeros(4, dtype=torch.double), None
    for number, index in enumerate(order.split(settings["batch_size"]), start=epoch * steps):
        batch = tokens.mask_tokens(corpus.train.at(index), corpus.tokenizer, generator).to(device)
        optimizer.param_groups[0]["lr"] = learning_rate(number, settings["epochs"] * steps, settings["lr"], WARM_UP)
        if teacher is None:
            seen = _step_alone(run.student, batch, optimizer)
        else:
            seen = step(teacher, run.student, batch, optimizer, **weights)
        sums += torch.tensor(seen, dtype=torch.double)
        first = seen.total if first is None else first
        advance(bar, seen.total, run)
    means = dict(zip(("loss", "soft_loss", "hard_loss", "cosine_loss"), (sums / steps).tolist(), strict=True))
    return {"first_loss": first, **means}


def _validate(student, batch, teacher_val):
    answers = guesses(student, batch)
    if not arguments.answered(answers).all():  # it has diverged, as ``keep_going`` then says
        return {"val_perplexity": math.nan, "val_accuracy": math.nan, "val_agreement": None}
    found = {f"val_{name}": value for name, value in judge(answers, batch).items()}
    agreement = None if teacher_val is None else (answers.argmax(-1) == teacher_val).double().mean().item()
    return {**found, "val_agreement": agreement}


# --------------------------------------------------------------------------------------------- judging


def mask_for_evaluation(sequences, tokenizer):
    """``sequences`` with some tokens masked, the same ones each time: networks are compared on the same batch."""
    return tokens.mask_tokens(sequences, tokenizer, seeds.generator(EVALUATION_SEED))


@torch.no_grad()
def guesses(network, batch):
    """What ``network``, in eval mode, says of each masked token of ``batch``: logits ``[tokens, V]``, on the CPU.

    The mode of the network, and of each module in it, is put back afterwards.
    """
    device, found = models.device_of(network), []
    with models.evaluating(network):
        for start in range(0, len(batch.input_ids), EVALUATION_BATCH):
            part = tokens.MaskedBatch(*(tensor[start : start + EVALUATION_BATCH] for tensor in batch)).to(device)
            found.append(_answer(network, part)[0][part.labels != arguments.IGNORE_INDEX].float().cpu())
    return torch.cat(found)


def judge(logits, batch, teacher_logits=None):
    """How good guesses are, a dict: ``perplexity``, ``accuracy``; with a teacher's also ``agreement`` and ``kl`` to it.

    Perplexity is exp of the cross-entropy: among how many equally likely tokens one would have to guess to do as well.
    ``logits`` ``[tokens, V]``: one row for each masked token of ``batch``, in order (``guesses``).
    """
    labels = batch.labels[batch.labels != arguments.IGNORE_INDEX].to(logits.device)
    found = {
        "perplexity": losses.hard_cross_entropy(logits, labels).double().exp().item(),
        "accuracy": metrics.accuracy(logits, labels),
    }
    if teacher_logits is not None:
        found["agreement"] = metrics.agreement(logits, teacher_logits)
        found["kl"] = losses.kl_divergence(logits, teacher_logits).item()
    return found


def report(network, corpus):
    """``judge`` on the test texts; beside it whoever guesses by how common tokens are, and random weights: a dict.

    ``network``: as ``bert.teacher`` builds it, for as many tokens as the corpus's tokenizer knows.
    """
    batch = mask_for_evaluation(corpus.test, corpus.tokenizer)
    logits = guesses(network, batch)
    common = tokens.log_frequencies(corpus.train, corpus.tokenizer).float().expand_as(logits)
    untrained = bert.teacher(**network.architecture).to(models.device_of(network))
    others = {"by_frequency": judge(common, batch), "untrained": judge(guesses(untrained, batch), batch)}
    return {**judge(logits, batch), "masked_tokens": len(logits), **others}


# --------------------------------------------------------------------------------------------- checks


def check(teacher, student, *, temperature=TEMPERATURE, soft_weight=SOFT, hard_weight=HARD, cosine_weight=COSINE):
    """``ValueError`` for settings of ``triple_loss`` that contradict each other, or do not fit these two networks."""
    if teacher is student:
        raise ValueError("teacher and student are the same network: it would learn from itself. Pass two networks.")
    _check_weights(temperature, soft_weight, hard_weight, cosine_weight)
    bert.check_fit(teacher, student, hidden=cosine_weight > 0)


def check_reads(network, corpus):
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


def _identity(student, corpus, teacher, weights):
    """What makes a run this run and no other, beside its numbers."""
    return {
        "corpus": "/".join(tokens.fingerprint(part) for part in (corpus.train, corpus.val)),
        "sequences": len(corpus.train.input_ids),
        "student": models.fingerprint(student),
        "teacher": None if teacher is None else models.fingerprint(teacher),
        **(dict.fromkeys(weights) if teacher is None else weights),
    }
