"""The exercise on the training step: a reader's step is played on two small networks, beside ours."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from kdkit import models
from kdkit.course.check import judging, samples, words
from kdkit.course.check.judging import Verdict
from kdkit.course.check.loss import KD_MISTAKES, KD_PAIRS, TRAINS_THE_SAME, weighted_loss
from kdkit.course.check.record import exercise

SOFT_WEIGHT = 0.9
SCENES = 3  # of a student in half precision
COARSE = 0.1  # share of the way that the student went by which rounding to half precision may lead it astray


@exercise
def kd_step(function: Callable) -> Verdict:
    """Check ``function(teacher, student, temperature, inputs, optimizer, labels)``: one step with 0.9 T^2 KL +
    0.1 cross-entropy, as ``kdkit.kd_step`` makes it. Two are made, with networks that have BatchNorm and dropout; the
    teacher comes in train mode and the student in eval mode, as a training and a validation leave them.
    """
    seed = samples.fresh_generator().initial_seed()
    start = Scene(seed)
    refused = judging.refuse(function, start.arguments(0))
    if refused:
        return refused
    theirs = Scene(seed)
    try:
        if theirs.play(function) is Ellipsis:
            return Verdict(None, words.NOT_ATTEMPTED)
    except Exception as error:
        return judging.stopped(error, function)
    wrong = _what_the_teacher_suffered(start, theirs) or _what_the_student_missed(start, theirs)
    if wrong:
        return Verdict(False, f"not yet: {wrong}")
    ours = Scene(seed)
    ours.play(reference_step())
    gap = theirs.distance(ours)
    if gap <= judging.TOLERANCE:
        return Verdict(True, f"right: after two steps the student's weights are ours (largest difference {gap:.0e})")
    if theirs.half is not None:
        return _judge_rounded(function, seed)
    if gap == math.inf:
        return Verdict(False, f"not yet: the student's weights are nan now. {words.KL_DIV}")
    alone, pairs = _step_mistakes()
    losses_twice_wrong = {explanation: reference_step(loss) for explanation, loss in KD_PAIRS.items()}
    for explanation, step in {**alone, **pairs, **losses_twice_wrong}.items():
        if _same(theirs, seed, step):
            return Verdict(False, f"not yet: {explanation}")
    return Verdict(False, f"not yet: after two steps the student's weights differ from ours by up to {gap:.2g}")


def _judge_rounded(function, seed):
    """Of a student that answered in half precision, as under autocast: ours, or a mistake that it is clearly nearer to.

    Where a mistake makes hardly a difference, rounding may lead the student a little nearer to it than to ours; and
    what it does in one scene, it hardly does in three.
    """
    steps = {None: reference_step(), **_step_mistakes()[0]}
    gaps, way = dict.fromkeys(steps, 0.0), 0.0
    for number in range(seed, seed + SCENES):
        theirs = Scene(number)
        theirs.play(function)
        way += theirs.distance(Scene(number))
        for explanation, step in steps.items():
            gaps[explanation] += _gap(theirs, number, step)
    nearest = min(gaps, key=gaps.get)
    if gaps[nearest] > gaps[None] / 2:
        nearest = None
    difference = gaps[None] / SCENES
    if gaps[nearest] > COARSE * way:
        return Verdict(False, f"not yet: after two steps the student's weights differ from ours by {difference:.2g}")
    if nearest is None:
        precision = str(theirs.half).removeprefix("torch.")
        return Verdict(True, f"right, up to rounding in {precision} (differences of {difference:.0e})")
    return Verdict(False, f"not yet: {nearest}")


class Scene:
    """A teacher, a student, its optimizer and two batches: always the same ones for one seed."""

    def __init__(self, seed: int):
        self.seed = seed
        with models.seeded(seed):
            self.teacher, self.student = (
                nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), last, nn.Linear(12, 7))
                for last in (nn.Dropout(0.3), nn.Identity())
            )
            self.inputs, self.labels = torch.randn(2, 5, 6), torch.randint(7, (2, 5))
            with torch.no_grad():
                self.teacher.get_parameter("4.weight").mul_(6)  # a teacher that is sure of what it says
        self.teacher.train()
        self.student.eval()
        self.optimizer = torch.optim.SGD(self.student.parameters(), lr=0.2)
        self.temperature = 3.0
        self.teacher_recorded = self.teacher_trained = False
        self.half = None  # the student's precision, where that is half of the usual one
        self.teacher.register_forward_hook(self._note)
        self.student.register_forward_hook(self._note_half)

    def _note_half(self, student, inputs, answer):
        if answer.dtype in (torch.bfloat16, torch.float16):
            self.half = answer.dtype

    def _note(self, teacher, inputs, answer):
        self.teacher_recorded |= answer.requires_grad
        self.teacher_trained |= teacher.training

    def arguments(self, batch: int) -> tuple:
        """What a step takes: both networks, the temperature, inputs ``[5, 6]``, the optimizer and labels ``[5]``."""
        return self.teacher, self.student, self.temperature, self.inputs[batch], self.optimizer, self.labels[batch]

    def play(self, step: Callable, half: torch.dtype | None = None) -> Any:
        """Both batches, under autocast to ``half`` if that is given; what the last call returned."""
        rounded = torch.autocast("cpu", dtype=half, enabled=half is not None)
        with models.seeded(self.seed), torch.enable_grad(), rounded:
            return [step(*self.arguments(batch)) for batch in range(2)][-1]

    def distance(self, other: "Scene") -> float:
        """The largest difference between any two weights of the students."""
        pairs = zip(self.student.parameters(), other.student.parameters(), strict=True)
        gap = max((a - b).abs().max().item() for a, b in pairs)
        return math.inf if math.isnan(gap) else gap


def reference_step(
    loss: Callable = weighted_loss, zero_grad: bool = True, instead_of_t: float | None = None
) -> Callable:
    """A right step, or one with another ``loss(student_logits, teacher_logits, labels, T, soft_weight)``, one without
    ``zero_grad``, or one that takes ``instead_of_t`` for its temperature.
    """

    def step(teacher, student, temperature, inputs, optimizer, labels):
        temperature = instead_of_t or temperature
        teacher.eval()
        student.train()
        with torch.no_grad():
            teacher_logits = teacher(inputs)
        loss(student(inputs), teacher_logits, labels, temperature, SOFT_WEIGHT).backward()
        optimizer.step()
        if zero_grad:
            optimizer.zero_grad()

    return step


def _step_mistakes():
    wrong = {said: {"loss": loss} for said, loss in KD_MISTAKES.items() if said not in (TRAINS_THE_SAME, words.FOUR)}
    kept = "the gradients of the first step are still there in the second: optimizer.zero_grad() after each step"
    return judging.two_at_once(reference_step, {kept: {"zero_grad": False}, words.FOUR: {"instead_of_t": 4.0}, **wrong})


def _same(theirs, seed, step):
    return _gap(theirs, seed, step) <= judging.TOLERANCE


def _gap(theirs, seed, step):
    """How far ``step`` leads the student from where theirs led it; under autocast, if theirs was."""
    other = Scene(seed)
    other.play(step, theirs.half)
    return theirs.distance(other)


def _what_the_teacher_suffered(start, theirs):
    if theirs.distance(start) == 0 and any(weight.grad is not None for weight in theirs.teacher.parameters()):
        return "the teacher got the gradients and the student none: are the two swapped somewhere?"
    before, after = start.teacher.state_dict(), theirs.teacher.state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    if any("running" in name for name in moved):
        return "the teacher's BatchNorm statistics moved: teacher.eval() before you ask it"
    if moved:
        return "the teacher's weights changed: only the student learns"
    if any(weight.grad is not None for weight in theirs.teacher.parameters()):
        return "the teacher's weights got gradients: ask it inside `with torch.no_grad():`"
    if theirs.teacher_recorded:
        return (
            "the numbers may be right, but torch recorded the teacher's whole forward pass for a backward pass that "
            "never comes: ask it inside `with torch.no_grad():`"
        )
    if theirs.teacher_trained:
        return "the teacher was in train mode when it was asked: teacher.eval()"
    return None


def _what_the_student_missed(start, theirs):
    if theirs.distance(start) == 0:
        return (
            "the student did not move: loss.backward() fills the gradients, optimizer.step() uses them, and "
            "zero_grad() clears them; in this order"
        )
    if torch.equal(start.student[1].running_mean, theirs.student[1].running_mean):
        return "the student answered in eval mode: student.train() first"
    return None
