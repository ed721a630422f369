"""What happens in one step of training, in plain order: ``step``. All training in this kit goes through it.

Its first half, up to the loss, is ``compute_loss``: for a loop of one's own that does something else with the loss.
``kd_step`` is the whole step with the distillation loss, and with checks for those who write their own loop.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kdkit import losses, models
from kdkit.losses.arguments import IGNORE_INDEX, check_temperature
from kdkit.training import distributed, entries
from kdkit.training.batch import Batch, Inputs, as_batch, deal
from kdkit.training.computing import computing_in, in_float32
from kdkit.training.schedule import check_networks

Outputs = dict[str, Tensor]  # what a network returns, by name: "logits", and the features of a ``models.Features``

# A loss is called as loss(student_outputs, teacher_outputs, batch); without a teacher its outputs are None. It returns
# a scalar tensor, or a named tuple of scalar tensors of which the first is the total. It may be a module with weights
# of its own: they learn if the optimizer holds them.
Loss = Callable[[Outputs, Outputs | None, Batch], Any]


def step(
    student: nn.Module,
    batch: Batch,
    loss: Loss,
    optimizer: Optimizer,
    *,
    teacher: nn.Module | None = None,
    cache: Any = None,
    max_grad_norm: float | None = None,
    accumulate: int = 1,
    precision: str = "float32",
    read: bool = False,
) -> tuple:
    """One step: run both networks, compute the loss, update the weights that ``optimizer`` holds.

    ``cache``: a ``ViewCache`` to take the teacher's outputs from. ``max_grad_norm``: the gradient of all these weights
    together is cut to this length. ``accumulate``: the batch goes through the networks in so many parts, one after the
    other (``batch.deal``), for one update. ``precision``: in which both networks compute, one of
    ``computing.PRECISIONS``; weights, losses and what comes from a cache stay in float32. ``read``: look at the loss
    before any weight is moved, and refuse one that is not finite; on a GPU the host waits for that, and for nothing
    else in here.

    Returns the terms of the loss: scalar tensors ``()`` without gradient; plain numbers, if they were read. Leaves the
    teacher in eval mode and untouched, the student in train mode, the gradients cleared. Raises ``ValueError`` where a
    network does not take the inputs, for a loss that no gradient flows from, and with ``read`` for one that is not
    finite.
    """
    optimizer.zero_grad()  # gradients that the caller may have left
    parts, seen = deal(batch, accumulate), []
    for part in parts:
        with distributed.telling(part is parts[-1], student, loss):
            terms, answers, taught = _forward(student, part, loss, teacher, cache, precision)
            values = [term.detach() for term in terms]
            if read:
                values = torch.stack(values).tolist()
                _check_finite(values[0], answers, taught, part)
            (terms[0] if part.share is None else terms[0] * part.share).backward()
        seen.append(values if part.share is None else [value * part.share for value in values])
    if max_grad_norm is not None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        nn.utils.clip_grad_norm_(weights, max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()  # their memory is free until the next step
    student.zero_grad()  # backward has also filled those of weights that the optimizer does not hold
    values = [sum(parts_of_term) for parts_of_term in zip(*seen, strict=True)]
    return type(terms)(*values) if hasattr(terms, "_fields") else tuple(values)  # a named tuple stays one


def compute_loss(
    student: nn.Module,
    batch: Batch | Mapping[str, Any] | tuple | list,
    loss: Loss,
    *,
    teacher: nn.Module | None = None,
    cache: Any = None,
) -> Any:
    """The first half of a step: run teacher and student on ``batch`` and compute the loss. No weight is changed.

    What comes then is yours: accumulation, clipping, a GradScaler, the closure of LBFGS, weights of the samples.

    Parameters:
        student, teacher, cache: as for ``step``. Asked within ``torch.autocast``, both compute in that precision.
        batch: a ``training.Batch``; a pair of inputs and labels; or a mapping with "labels" in it.
        loss: ``training.Distillation(...)``, or one of your own: ``loss(student_outputs, teacher_outputs, batch)`` of
            dicts that hold "logits", and of the ``Batch``, whose labels may be whatever that loss takes.

    Returns the terms of the loss with their gradient, the total first (of a loss that gives one tensor, a tuple of it).
    Leaves the teacher in eval mode and untouched, the student in train mode. Raises ``ValueError`` as ``step``.

    >>> from kdkit import training
    >>> student, teacher = nn.Linear(2, 3), nn.Linear(2, 3)
    >>> terms = compute_loss(student, (torch.ones(4, 2), torch.arange(4) % 3), training.Distillation(), teacher=teacher)
    >>> (terms.total / 2).backward()  # the first of two micro-batches
    """
    check_networks(student, teacher)
    terms, *_ = _forward(student, as_batch(batch), loss, teacher, cache)
    return terms


def _forward(student, batch, loss, teacher, cache, precision="float32"):
    """The terms of the loss, and what student and teacher have answered."""
    models.train_mode(student)  # not .train(): BatchNorm that its user froze stays frozen
    with computing_in(precision, student):
        teacher_outputs = None if teacher is None and cache is None else run_teacher(teacher, batch, cache)
        student_outputs = models.outputs(student, batch.inputs, "student")
    if precision != "float32":
        teacher_outputs, student_outputs = map(in_float32, (teacher_outputs, student_outputs))
    terms = loss(student_outputs, teacher_outputs, batch)
    terms = terms if isinstance(terms, tuple) else (terms,)
    if not terms[0].requires_grad:
        raise ValueError("no gradient reaches the student: is the step made inside torch.no_grad()?")
    return terms, student_outputs, teacher_outputs


@torch.no_grad()
def run_teacher(teacher: nn.Module | None, batch: Batch, cache: Any = None) -> Outputs:
    """The teacher's outputs, from the cache if there is one. Nothing of the teacher changes.

    ``no_grad`` alone would not do: without eval mode BatchNorm's statistics would move.
    """
    if cache is not None:
        return cache.outputs(batch.image, batch.view, batch.inputs)
    assert teacher is not None  # one of the two is there
    models.eval_mode(teacher)
    return models.outputs(teacher, batch.inputs, "teacher")


class Distillation:
    """The loss of distillation by logits: ``kdkit.losses.kd_terms``, or the cross-entropy alone without a teacher.

    Parameters as for ``kd_loss``; ``ValueError`` as there.
    """

    def __init__(
        self, temperature: float = 4.0, soft_weight: float | None = None, hard_weight: float | None = None
    ) -> None:
        self.temperature = check_temperature(temperature)
        self.soft_weight, self.hard_weight = soft_weight, hard_weight

    def __call__(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> losses.KDTerms:
        if teacher is None:
            hard = losses.hard_cross_entropy(student["logits"], batch.labels)  # type: ignore[arg-type]  # refused there
            return losses.KDTerms(hard, hard.new_zeros(()), hard)
        terms = losses.kd_terms(
            student["logits"],
            entries.target(teacher, self.temperature),
            batch.labels,
            temperature=self.temperature,
            soft_weight=self.soft_weight,
            hard_weight=self.hard_weight,
            mask=batch.mask,
        )
        if batch.mask is None and student["logits"].ndim == 3 and self.soft_weight != 0:
            _check_padding(batch)
        return terms


class StepLosses(NamedTuple):
    """What a step saw: ``total = soft_weight * soft + hard_weight * hard``; ``soft`` is T^2 KL. Plain numbers."""

    total: float
    soft: float
    hard: float


def kd_step(
    teacher: nn.Module,
    student: nn.Module,
    temperature: float,
    inputs: Inputs,
    optimizer: Optimizer,
    labels: Tensor | None = None,
    *,
    soft_weight: float | None = None,
    hard_weight: float | None = None,
    mask: Tensor | None = None,
) -> StepLosses:
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
    models.check_network("teacher", teacher)
    check_roles(teacher, student, optimizer)
    loss = Distillation(temperature, soft_weight, hard_weight)
    return StepLosses(*step(student, Batch(inputs, labels, mask), loss, optimizer, teacher=teacher, read=True))


def check_roles(teacher: nn.Module | None, student: nn.Module, optimizer: Optimizer) -> None:
    """``ValueError`` unless these are two networks, and the optimizer moves the student and not the teacher."""
    check_networks(student, teacher)
    if not hasattr(optimizer, "param_groups"):
        raise ValueError(f"optimizer must be a torch.optim.Optimizer; got {type(optimizer).__name__}.")
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError("LBFGS asks for the loss several times a step: give it a closure round kdkit.compute_loss.")
    held = {id(weight) for group in optimizer.param_groups for weight in group["params"] if weight.requires_grad}
    parts = () if teacher is None else models.every_module(teacher)
    if any(id(weight) in held for part in parts for weight in part.parameters(recurse=False)):
        raise ValueError(
            "the optimizer holds weights of the teacher, which must not change. The order is kd_step(teacher, student, "
            "…): are the two swapped? The optimizer takes the student's weights."
        )
    learning = [weight for weight in student.parameters() if weight.requires_grad]
    if not learning:
        raise ValueError("every weight of the student is frozen (requires_grad=False): nothing can be learnt.")
    if not any(id(weight) in held for weight in learning):
        raise ValueError(
            "the optimizer holds none of the student's weights, so that nothing would be learnt. Was the student built "
            "anew after the optimizer? Build the optimizer again: torch.optim.SGD(student.parameters(), lr=…)."
        )


def _check_finite(loss: float, student: Outputs, teacher: Outputs | None, batch: Batch) -> None:
    if not math.isfinite(loss):
        taught = (teacher or student).get("logits", student["logits"])  # of a cache, what it keeps is finite
        why = losses.why_not_finite(student["logits"], taught, batch.mask)
        raise ValueError(f"the loss is {loss}, and no weight was changed: {why}")


def _check_padding(batch: Batch) -> None:
    """``ValueError`` where some tokens are padding: without a mask they would count in the soft term.

    On a GPU the host waits for this; with a mask there is nothing to look for.
    """
    attended = batch.inputs.get("attention_mask") if isinstance(batch.inputs, Mapping) else None
    if isinstance(attended, Tensor) and attended.ndim == 2 and not attended.all():
        where = "inputs['attention_mask'] has zeros"
    elif isinstance(batch.labels, Tensor) and (batch.labels.long() == IGNORE_INDEX).any():
        where = "labels are -100"
    else:
        return
    raise ValueError(
        f"{where}: some tokens are padding or have no label, and without a mask all would count in the soft term. Give "
        "mask=, [B, L] with 1 where a token counts: attention_mask, or labels != -100, or torch.ones_like(labels) for "
        "all."
    )
