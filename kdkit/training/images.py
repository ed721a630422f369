"""The training step, the training loop, and runs that survive being killed.

Read it top to bottom: ``kd_step`` is the whole idea; ``train`` repeats it over epochs, for plain and distilled
training alike; what keeps a run going and on disk is in ``kdkit.training.loop``.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch

from kdkit import losses, models
from kdkit.data.images import check_splits
from kdkit.data.seeds import generator
from kdkit.losses import arguments
from kdkit.losses.arguments import positive, whole
from kdkit.measure import metrics
from kdkit.training.cache import ViewCache
from kdkit.training.runs import (
    Diverged,
    Run,
    TrainingInterrupted,
    advance,
    check_idle,
    check_schedule,
    epoch_seed,
    keep_going,
    learning_rate,
)

__all__ = ["Diverged", "Run", "StepLosses", "TrainingInterrupted", "kd_step", "train"]

TEMPERATURE, SOFT, HARD = 4.0, 0.9, 0.1
PEAK_LR = 0.2  # for batches of 512; other sizes by the square root
# T^2 KL gives gradients about T times as long as labels do, and the first ones of a wide network are longer still. If
# they are not cut, no one rate suits both arms, and some students stay at chance (benchmarks/defaults.py).
MAX_GRAD_NORM = 2.0
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
STEPS_AN_EPOCH, ENOUGH_STEPS = 20, 200  # from these on a small network learns something
WARM_UP = 0.2  # share of the steps in which the learning rate rises
STATISTICS_IMAGES = 5000  # drawn from all, from which a network's first layer computes its statistics


class StepLosses(NamedTuple):
    """What a step saw: ``total = soft_weight * soft + hard_weight * hard``; ``soft`` is T^2 KL. Plain numbers."""

    total: float
    soft: float
    hard: float


def kd_step(
    teacher, student, temperature, inputs, optimizer, labels=None, *, soft_weight=None, hard_weight=None, mask=None
):
    """One step of distillation: the student moves towards the teacher's soft targets (and the labels, if given).

    Parameters:
        teacher, student: modules that answer ``inputs`` with logits ``[B, C]`` or ``[B, L, V]``.
        temperature: a finite number above 0. The factor T^2 is included.
        inputs: what both networks are asked: a tensor; a tuple or list, handed over in order; or a mapping (a
            tokenizer's batch), handed over by name.
        optimizer: over weights of the student (others of your own, such as a projector's, may be there too).
        labels: integers ``[B]`` or ``[B, L]``, or None. Those of -100 do not count in the hard term.
        soft_weight, hard_weight: left out, 0.9 and 0.1 with labels, 1 and 0 without.
        mask: bool or 0/1, ``[B]`` or ``[B, L]``: which samples or tokens count in the soft term. It has to be given
            where logits are ``[B, L, V]`` and padding shows, in labels of -100 or an "attention_mask" with zeros.

    Tested with these (``tests/test_step.py``), teacher and student where nothing else is said:

    | what | which |
    |---|---|
    | wrapped | ``torch.compile`` (eager), ``DataParallel`` (on the CPU), ``DistributedDataParallel`` (one process) |
    | teachers of another make | traced and frozen TorchScript; quantised (dynamic int8); an ensemble in a plain list |
    | outputs | a tensor; a tuple that begins with one; a mapping with "logits"; an object with ``.logits`` |
    | inputs | a tensor; a tuple or list; a mapping, as a Hugging Face tokenizer makes it |
    | precision | autocast to bfloat16; a teacher in float16 or bfloat16 (asked in its own dtype); float64 |
    | BatchNorm | frozen by the user: stays so (``models.train_mode``); a batch of one is refused where it trains |

    Returns ``StepLosses(total, soft, hard)``. Leaves the teacher in eval mode and untouched, the student in train
    mode, the gradients cleared. Raises ``ValueError`` as ``kdkit.losses.kd_loss`` does; for a loss that is not finite;
    for padding without a mask; for networks that do not take the inputs; and for an optimizer that holds none of the
    student's weights, or any of the teacher's. No weight is changed then; BatchNorm's statistics may have moved.
    Source: Sanh et al. 2019 (arXiv:1910.01108), section 2; Hinton et al. 2015 (arXiv:1503.02531) for T^2.
    """
    _check_roles(teacher, student, optimizer)
    models.train_mode(student)
    teacher_logits = _ask(teacher, inputs)
    student_logits = models.logits(student, inputs, "student")
    weights = {"soft_weight": soft_weight, "hard_weight": hard_weight}
    terms = losses.kd_terms(student_logits, teacher_logits, labels, temperature=temperature, mask=mask, **weights)
    if mask is None and student_logits.ndim == 3 and soft_weight != 0:
        _check_padding(inputs, labels)
    if not terms.total.requires_grad:
        raise ValueError("no gradient reaches the student: is kd_step called inside torch.no_grad()?")
    seen = StepLosses(*torch.stack(terms).tolist())
    if not math.isfinite(seen.total):
        why = losses.why_not_finite(student_logits, teacher_logits, mask)
        raise ValueError(f"the loss is {seen.total}, and no weight was changed: {why}")
    _descend(student, optimizer, terms.total)
    return seen


@torch.no_grad()
def _ask(teacher, inputs):
    """The teacher only answers: without eval, BatchNorm's statistics would move even under no_grad."""
    models.eval_mode(teacher)
    return models.logits(teacher, inputs, "teacher")


def _descend(student, optimizer, loss, max_grad_norm=None):
    optimizer.zero_grad()
    loss.backward()
    if max_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(student.parameters(), max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()
    student.zero_grad()  # of weights that the optimizer does not hold


def _check_roles(teacher, student, optimizer):
    """``ValueError`` unless these are two networks, and the optimizer moves the student and not the teacher."""
    if teacher is student:
        raise ValueError("teacher and student are the same network: it would learn from itself. Pass two networks.")
    for name, network in ("teacher", teacher), ("student", student):
        models.check_network(name, network)
    if not hasattr(optimizer, "param_groups"):
        raise ValueError(f"optimizer must be a torch.optim.Optimizer; got {type(optimizer).__name__}.")
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError("LBFGS asks for the loss several times a step: put kdkit.losses.kd_loss into its closure.")
    held = {id(weight) for group in optimizer.param_groups for weight in group["params"] if weight.requires_grad}
    if any(id(weight) in held for part in models.every_module(teacher) for weight in part.parameters(recurse=False)):
        raise ValueError(
            "the optimizer holds weights of the teacher, which must not change. The order is kd_step(teacher, student, "
            "…): are the two swapped? The optimizer is over the student's weights alone."
        )
    learning = [weight for weight in student.parameters() if weight.requires_grad]
    if not learning:
        raise ValueError("every weight of the student is frozen (requires_grad=False): nothing can be learnt.")
    if not any(id(weight) in held for weight in learning):
        raise ValueError(
            "the optimizer holds none of the student's weights, so that nothing would be learnt. Was the student built "
            "anew after the optimizer? Build the optimizer again: torch.optim.SGD(student.parameters(), lr=…)."
        )


def _check_padding(inputs, labels):
    """``ValueError`` where some tokens are padding: without a mask they would count in the soft term."""
    attended = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    if isinstance(attended, torch.Tensor) and attended.ndim == 2 and not attended.all():
        where = "inputs['attention_mask'] has zeros"
    elif isinstance(labels, torch.Tensor) and (labels.long() == arguments.IGNORE_INDEX).any():
        where = "labels are -100"
    else:
        return
    raise ValueError(
        f"{where}: some tokens are padding or have no label, and without a mask all would count in the soft term. Give "
        "mask=, [B, L] with 1 where a token counts: attention_mask, or labels != -100, or torch.ones_like(labels) for "
        "all."
    )


def _update(
    student,
    optimizer,
    inputs,
    labels,
    teacher_logits,
    temperature,
    soft_weight,
    hard_weight,
    max_grad_norm=None,
):
    student_logits = models.logits(student, inputs)
    if teacher_logits is None:
        hard = losses.hard_cross_entropy(student_logits, labels)
        terms = losses.KDTerms(hard, torch.zeros(()), hard)
    else:
        terms = losses.kd_terms(
            student_logits,
            teacher_logits,
            labels,
            temperature=temperature,
            soft_weight=soft_weight,
            hard_weight=hard_weight,
        )
    _descend(student, optimizer, terms.total, max_grad_norm)
    return StepLosses(*(term.item() for term in terms))


def train(
    student,
    data,
    *,
    teacher=None,
    cache=None,
    temperature=TEMPERATURE,
    soft_weight=SOFT,
    hard_weight=HARD,
    epochs,
    batch_size=512,
    lr=None,
    max_grad_norm=MAX_GRAD_NORM,
    seed=0,
    checkpoint=None,
    progress=True,
):
    """Train ``student`` on ``data.train``; watch it on ``data.val``; leave ``data.test`` alone.

    Two runs with the same ``seed`` and equal students see the same images in the same views and order, with and
    without a teacher: they are a fair pair.

    Parameters:
        student: a module that maps float32 images ``[N, C, H, W]`` in [0, 1] to logits; it is trained in place, on
            the device where it is. If it has ``fit_input`` (or what it wraps has), that computes its input statistics
            first, from a sample of ``data.train``.
        data: ``Splits``.
        teacher: None for plain cross-entropy with weight 1; a module for distillation.
        cache: a ``ViewCache`` of this teacher on this data, or None to ask the teacher at each step. The result is
            the same to the bit (same machine, threads, batch size; float32).
        temperature, soft_weight, hard_weight: as for ``kd_loss``. Without a teacher they mean nothing, and others than
            the defaults are refused.
        batch_size: images a step at most. An epoch is dealt into equal batches, for a network's last bits depend on
            the size of the batch; the few images that are left over wait for the next epoch.
        lr: peak learning rate, or None for 0.2 at 512 images a batch and by the square root for others (0.05 at 32). It
            rises over a fifth of the steps, then falls to 0.
        max_grad_norm: gradients longer than this are cut to it, so that one rate suits both arms at any temperature;
            None leaves them as they are.
        seed: of the order of images (and of dropout, if the student has any).
        checkpoint: a file that is written after each epoch. If it exists, the run goes on from there, and ends with
            the weights and history of a run that was never stopped.
        progress: show a progress bar; or a function to call with the ``Run`` after each epoch instead, such as a plot.

    Stopped by Ctrl-C or by an error, it gives the student its first weights back: the same call then goes on from the
    checkpoint.

    On Linux the process keeps, from then on, the memory that it frees (``measure.machine``): steps are quicker for it.

    Returns a ``Run``. Raises ``ValueError`` for settings that contradict each other and for a checkpoint that is
    damaged or belongs to another run; ``Diverged``, one of these, for a loss that grows without end or a result that
    is no number any more; ``TrainingInterrupted`` on Ctrl-C.
    """
    _check_data(data)
    schedule = check_schedule(student, teacher, epochs, batch_size, seed)
    if cache is not None:
        _check_cache(cache, data, teacher)
    weights = {"temperature": temperature, "soft_weight": soft_weight, "hard_weight": hard_weight}
    if teacher is None:
        check_idle(weights, {"temperature": TEMPERATURE, "soft_weight": SOFT, "hard_weight": HARD})
    fit_input(student, data)
    settings = {
        **_identity(student, data, teacher, **weights),
        **schedule,
        "lr": _peak_lr(lr, schedule["batch_size"]),
        "max_grad_norm": None
        if max_grad_norm is None
        else positive("max_grad_norm", max_grad_norm, "None to cut none"),
    }
    run = Run(student, settings)
    optimizer = torch.optim.SGD(
        [weight for weight in student.parameters() if weight.requires_grad],
        lr=settings["lr"],
        momentum=MOMENTUM,
        nesterov=True,
        weight_decay=WEIGHT_DECAY,
    )

    def prepare():
        device = models.device_of(student)
        padded, labels = data.views.pad(data.train.images).to(device), data.train.labels.to(device)
        teacher_val = _teacher_val(teacher, cache, data)

        def one_epoch(epoch, bar):
            means = _run_epoch(run, optimizer, epoch, data.views, padded, labels, teacher, cache, bar)
            return {**means, **_validate(student, data.val, teacher_val)}

        return one_epoch

    return keep_going(run, optimizer, prepare, -(-len(data.train) // schedule["batch_size"]), checkpoint, progress)


def proposed(images, epochs, batch_size=None):
    """``(batch_size, epochs)`` for so many training images: with few of them, smaller batches and more epochs.

    Batches of 512 where an epoch then has at least 20 steps, else smaller ones, down to 16, unless ``batch_size`` is
    given; ``epochs``, or as many more as make 200 steps. Raises ``ValueError`` for what is no number from 1.

    >>> proposed(45_000, 8), proposed(300, 8)
    ((512, 8), (16, 11))
    """
    images, epochs = whole(images, "images", 1), whole(epochs, "epochs", 1)
    if batch_size is None:
        batch_size = 512
        while batch_size > 16 and images < STEPS_AN_EPOCH * batch_size:
            batch_size //= 2
    batch_size = whole(batch_size, "batch_size", 1)
    return batch_size, max(epochs, -(-ENOUGH_STEPS // -(-images // batch_size)))


def fit_input(student, data):
    """Let the first layer of ``student``, or of the network that it wraps, compute its statistics, if it has any.

    From images drawn from all of ``data.train``: folders are sorted by class, and the first 5,000 may be all airplanes.
    """
    network = models.unwrapped(student)
    if hasattr(network, "fit_input"):
        network.fit_input(models.as_input(data.train.sample(STATISTICS_IMAGES).images))


def _run_epoch(run, optimizer, epoch, views, padded, labels, teacher, cache, bar):
    settings, student = run.settings, run.student
    view = views.schedule(len(labels), epoch)
    batches, left_over = _batches(len(labels), settings["batch_size"], settings["seed"], epoch)
    sums, first = torch.zeros(3, dtype=torch.double), None
    models.train_mode(student)
    for step, index in enumerate(batches, start=epoch * len(batches)):
        inputs = views.take(padded, index, view[index])
        teacher_logits = None
        if cache is not None:
            teacher_logits = cache.logits(index, view[index], inputs).to(inputs.device)
        elif teacher is not None:
            teacher_logits = _ask(teacher, inputs)
        steps = settings["epochs"] * len(batches)
        optimizer.param_groups[0]["lr"] = learning_rate(step, steps, settings["lr"], WARM_UP)
        weights = settings["temperature"], settings["soft_weight"], settings["hard_weight"]
        seen = _update(
            student, optimizer, inputs, labels[index], teacher_logits, *weights, max_grad_norm=settings["max_grad_norm"]
        )
        sums += torch.tensor(seen, dtype=torch.double)
        first = seen.total if first is None else first
        advance(bar, seen.total, run)
    for index in left_over if cache is not None else ():  # or the next student, in another order, would miss them
        cache.logits(index, view[index], views.take(padded, index, view[index]))
    means = dict(zip(("loss", "soft_loss", "hard_loss"), (sums / len(batches)).tolist(), strict=True))
    return {"first_loss": first, **means}


def _batches(count, batch_size, seed, epoch):
    """A new order for each seed and epoch, dealt into equal batches: int64 ``[batches, size]``.

    And as many more of that size as hold what is left over, to be asked about and not learnt from.
    """
    order = torch.randperm(count, generator=generator(epoch_seed(seed, epoch)))
    number = -(-count // batch_size)
    size = count // number
    more = -(-(count - number * size) // size)
    return order[: number * size].view(number, size), order[count - more * size :].view(more, size)


def _peak_lr(lr, batch_size):
    if lr is None:
        return PEAK_LR * math.sqrt(batch_size / 512)
    return positive("lr", lr, "None for the default")


def _teacher_val(teacher, cache, data):
    if teacher is None:
        return None
    return cache.val_logits() if cache is not None else metrics.predict(teacher, data.val.images)


def _validate(student, val, teacher_val):
    answer = metrics.predict(student, val.images)
    if not arguments.answered(answer).all():
        return {"val_accuracy": math.nan, "val_agreement": None}  # it has diverged, as ``keep_going`` then says
    agreement = None if teacher_val is None else metrics.agreement(answer, teacher_val)
    return {"val_accuracy": metrics.accuracy(answer, val.labels), "val_agreement": agreement}


def _check_data(data):
    check_splits(data)
    for part, count in ("train", len(data.train)), ("val", len(data.val)):
        if count == 0:
            raise ValueError(f"data.{part} holds no image: {data!r}. Training needs both.")


def _check_cache(cache, data, teacher):
    if not isinstance(cache, ViewCache):
        raise ValueError(f"cache must be a ViewCache(teacher, data, path); got {type(cache).__name__}.")
    if teacher is None:
        raise ValueError("a cache of teacher logits without a teacher: pass teacher=cache.teacher to distil.")
    cache.check_belongs(teacher, data)


def _identity(student, data, teacher, temperature, soft_weight, hard_weight):
    """What makes a run this run and no other, beside its numbers."""
    if teacher is None:
        temperature, soft_weight, hard_weight = None, 0.0, 1.0
    else:
        temperature = arguments.check_temperature(temperature)
        soft_weight, hard_weight = losses.resolve_weights(soft_weight, hard_weight, have_labels=True)
    return {
        "data": data.name,
        "train_images": len(data.train),
        "data_fingerprint": f"{data.train.fingerprint}/{data.val.fingerprint}",
        "labels_fingerprint": f"{data.train.labels_fingerprint}/{data.val.labels_fingerprint}",
        "views": str(data.views),
        "student": models.fingerprint(student),
        "teacher": None if teacher is None else models.fingerprint(teacher),
        "temperature": temperature,
        "soft_weight": soft_weight,
        "hard_weight": hard_weight,
    }
