"""The bug museum's checks: whether a reader has fixed an exhibit of notebook 03. Names are those of the symptoms.

Where the bug is still there, whatever else was changed, the verdict is neither right nor wrong: there is more to find.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from kdkit import losses
from kdkit.course.check import judging
from kdkit.course.check.judging import AS_FOUND, TOLERANCE, Verdict, judge
from kdkit.course.check.loss import KD_MISTAKES, TOO_WEAK, and_trains, weighted_loss
from kdkit.course.check.record import exercise
from kdkit.course.check.step import Scene, reference_step

TEMPERATURES = 1.5, 3.0, 8.0


@exercise
def quiet_teacher(function: Callable) -> Verdict:
    """Check ``function(student_logits, teacher_logits, labels, temperature, soft_weight) -> loss``."""
    makers = judging.logits, judging.logits, judging.labels, judging.temperature, judging.share
    mistakes = {words: loss for words, loss in KD_MISTAKES.items() if words != TOO_WEAK}
    cases = judging.cases(*makers)
    verdict = judge(function, cases, weighted_loss, mistakes, found=KD_MISTAKES[TOO_WEAK])
    return and_trains(verdict, function, cases[0], weighted_loss)


@exercise
def cliff(function: Callable) -> Verdict:
    """Check ``function(student_logits, teacher_logits, labels, temperature, hard_weight) -> loss``."""

    def hard_weight(generator):
        share = judging.share(generator)
        return 0.0 if share > 0.75 else share if share > 0.65 else share / 1000  # none, much, and next to none

    def loss(s, z, y, t, w, t_power=2, ce=F.cross_entropy):
        return (w * ce(s, y) if w else 0.0) + (1 - w) * t**t_power * losses.kl_divergence(s, z, t)

    def found(s, z, y, t, w):
        return loss(s, z, y, t, w, t_power=2 if w else 0)

    mistakes = {
        "there is no cliff left, since T^2 is gone everywhere: it belongs before the soft term in both branches": (
            lambda s, z, y, t, w: loss(s, z, y, t, w, t_power=0)
        ),
        "T^2 belongs to the soft term alone": lambda s, z, y, t, w: t**2 * loss(s, z, y, t, w, t_power=0),
        "the weights are swapped: hard_weight stands before the cross-entropy": lambda s, z, y, t, w: loss(
            s, z, y, t, 1 - w
        ),
        "a weight of 0 now means the cross-entropy alone: it means the soft term alone": lambda s, z, y, t, w: (
            loss(s, z, y, t, w) if w else F.cross_entropy(s, y)
        ),
        "one T is missing: the factor is T^2": lambda s, z, y, t, w: loss(s, z, y, t, w, t_power=2 if w else 1),
    }
    makers = judging.logits, judging.logits, judging.labels, judging.temperature, hard_weight
    cases = judging.cases(*makers)
    verdict = judge(function, cases, loss, mistakes, found)
    if verdict.passed:
        student, teacher, _, temperature, _ = cases[0]
        try:
            without_labels = judging.plain(function(student, teacher, None, temperature, 0.0))
        except Exception:
            return Verdict(False, "not yet: with a weight of 0 there may be no labels (None), and yours wants some")
        if not torch.allclose(without_labels, loss(student, teacher, None, temperature, 0.0).double(), atol=TOLERANCE):
            return Verdict(False, "not yet: without labels (None, at a weight of 0) the cliff is still there")
    return and_trains(verdict, function, cases[0], loss)


@exercise
def sinking_teacher(distiller: Callable) -> Verdict:
    """Check a class: ``distiller(teacher, student)`` is a module with ``loss(inputs, temperature)``."""

    def judged(scene, temperature):
        before = {name: value.clone() for name, value in scene.teacher.state_dict().items()}
        try:
            pair = distiller(scene.teacher, scene.student)
            pair.train()
            loss = pair.loss(scene.inputs[0], temperature)
        except Exception as error:
            return judging.stopped(error, getattr(distiller, "loss", distiller))
        unusable = _no_loss(loss)
        if unusable:
            return unusable
        moved = any(not torch.equal(before[name], value) for name, value in scene.teacher.state_dict().items())
        if moved:
            return Verdict(None, AS_FOUND)
        if not scene.student.training:
            return Verdict(False, "not yet: now the student is in eval mode too, and it is the one that should train")
        if not _same(loss, _soft_loss(scene, scene.inputs[0], temperature)):
            return Verdict(False, "not yet: the teacher is at rest, but the loss is another one now")
        pair.eval()
        if scene.student.training:
            return Verdict(False, "not yet: pair.eval() no longer reaches the student, which validation needs")
        right = Verdict(True, "right: train() reaches the student, and the teacher does not move, to the bit")
        return _untrained(scene.student, loss) or right

    return _in_each_scene(judged)


@exercise
def coin_tosser(function: Callable) -> Verdict:
    """Check ``function(teacher, dataset) -> logits [N, C]``, in the order of the data set."""
    scene = _scene()
    scene.teacher.eval()
    inputs = torch.randn(230, 6, generator=judging.fresh_generator())
    with torch.no_grad():
        wanted = scene.teacher(inputs)
    try:
        kept = function(scene.teacher, TensorDataset(inputs, torch.arange(len(inputs))))
    except Exception as error:
        return judging.stopped(error, function)
    shape = list(kept.shape) if isinstance(kept, torch.Tensor) else type(kept).__name__
    if shape != list(wanted.shape):
        return Verdict(
            False, f"not yet: one row of logits for each picture is wanted, {list(wanted.shape)}; got {shape}"
        )
    kept, wanted = judging.plain(kept), wanted.double()
    close = functools.partial(torch.allclose, rtol=1e-2, atol=1e-2)  # half precision will do for a cache
    if close(kept, wanted):
        return Verdict(True, "right: row i belongs to picture i")
    if close(kept.sort(0).values, wanted.sort(0).values):
        return Verdict(None, AS_FOUND)
    return Verdict(False, "not yet: these are other logits than the teacher's")


@exercise
def never_zero(function: Callable) -> Verdict:
    """Check ``function(teacher, student, images, augment, temperature) -> loss``.

    By what it does: an exact copy of the teacher must read 0, and another student must see augmented pictures.
    """

    def judged(scene, temperature):
        generator, seen = judging.fresh_generator(), {"teacher": [], "student": []}
        scene.teacher.eval()
        scene.student.train()
        for name in seen:
            first = getattr(scene, name)[0]
            first.register_forward_hook(lambda layer, inputs, out, name=name: seen[name].append(inputs[0].clone()))

        def augment(images):
            return images + torch.randn(images.shape, generator=generator)

        try:
            loss = function(scene.teacher, scene.student, scene.inputs[0].clone(), augment, temperature)
        except Exception as error:
            return judging.stopped(error, function)
        unusable = _no_loss(loss)
        if unusable:
            return unusable
        if not (seen["teacher"] and seen["student"]):
            return Verdict(False, "not yet: both networks must be asked")
        teachers, students = torch.cat(seen["teacher"]), torch.cat(seen["student"])
        if torch.equal(students, scene.inputs[0]):
            return Verdict(False, "not yet: the student sees the bare picture now, and augmentation is lost")
        if torch.equal(teachers, scene.inputs[0]):
            return Verdict(
                False, "not yet: the teacher sees the bare picture and the student a view of it: still not the same"
            )
        if not torch.equal(teachers, students):
            return Verdict(None, AS_FOUND)
        if not _same(loss, _soft_loss(scene, students, temperature)):
            return Verdict(False, "not yet: both see the same view, but the loss is another one now")
        return _untrained(scene.student, loss) or Verdict(True, "right: both networks are asked about the same view")

    return _in_each_scene(judged)


@exercise
def pale_targets(function: Callable) -> Verdict:
    """Check ``function(teacher, student, inputs, temperature) -> loss``."""

    def network(generator):
        net = nn.Linear(6, 7)
        with torch.no_grad():
            net.weight.copy_(2 * torch.randn(7, 6, generator=generator))
        return net

    def inputs(generator):
        return torch.randn(5, 6, generator=generator)

    def loss(t_power=2, student=lambda s: s, teacher=lambda z: z):
        return lambda big, small, x, t: t**t_power * losses.kl_divergence(student(small(x)), teacher(big(x)), t)

    mistakes = {
        "now the student's softmax is taken twice as well: take it once on either side": loss(
            student=lambda s: s.softmax(1), teacher=lambda z: z.softmax(1)
        ),
        "the teacher is right now, but the student's softmax is taken twice": loss(student=lambda s: s.softmax(1)),
        "the teacher's temperature is lost: one softmax, of logits / T": lambda big, small, x, t: (
            t**2 * F.kl_div((small(x) / t).log_softmax(1), big(x).softmax(1), reduction="batchmean")
        ),
        "you divided the teacher's probabilities by T: divide its logits, and take the softmax once": (
            lambda big, small, x, t: (
                t**2 * F.kl_div((small(x) / t).log_softmax(1), big(x).softmax(1) / t, reduction="batchmean")
            )
        ),
        "a softmax of a softmax is still there, whatever T is inside": (
            lambda big, small, x, t: loss(teacher=lambda z: (z / t).softmax(1))(big, small, x, t)
        ),
        "T^2 is lost": loss(t_power=0),
        "the teacher's softmax is gone altogether, and a target of bare logits is no distribution": (
            lambda big, small, x, t: t**2 * F.kl_div((small(x) / t).log_softmax(1), big(x) / t, reduction="batchmean")
        ),
    }
    cases = judging.cases(network, network, inputs, judging.temperature)
    verdict = judge(function, cases, loss(), mistakes, found=loss(teacher=lambda z: z.softmax(1)))
    return (verdict.passed and _untrained(cases[0][1], function(*cases[0]))) or verdict


@exercise
def frozen_student(function: Callable) -> Verdict:
    """Check ``function(small, large, temperature, inputs, optimizer)``, a step without labels."""
    start, theirs, ours = (Scene(7) for _ in range(3))

    def step(large, small, temperature, inputs, optimizer, labels):
        return function(small, large, temperature, inputs, optimizer)

    refused = judging.refuse(function, start.arguments(0)[:5])
    if refused:
        return refused
    try:
        theirs.play(step)
    except Exception as error:
        return judging.stopped(error, function)
    if theirs.distance(start) == 0:
        return Verdict(None, AS_FOUND)
    ours.play(reference_step(lambda s, z, y, t, w: t**2 * losses.kl_divergence(s, z, t)))
    if any(weight.grad is not None for weight in theirs.teacher.parameters()):
        return Verdict(False, "not yet: the small network moves, but the large one still gets gradients")
    gap = theirs.distance(ours)
    if gap > TOLERANCE:
        return Verdict(False, f"not yet: the small network moves, but not as it should (weights differ by {gap:.2g})")
    return Verdict(True, "right: the small network learns, the large one is left in peace")


@exercise
def restless_kl(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C]) -> number``."""

    def entropy(z):
        return losses.soft_cross_entropy(z, z)

    mistakes = {
        "the teacher's entropy must be taken OFF, not added": lambda s, z: losses.soft_cross_entropy(s, z) + entropy(z),
        "you took off the student's entropy: the teacher's": lambda s, z: losses.soft_cross_entropy(s, z) - entropy(s),
        "student and teacher are swapped": lambda s, z: losses.kl_divergence(z, s),
        "the sign is turned": lambda s, z: -losses.kl_divergence(s, z),
        "you averaged over the classes as well": lambda s, z: losses.kl_divergence(s, z) / s.shape[1],
        "you added over the batch and did not divide": lambda s, z: losses.kl_divergence(s, z) * len(s),
    }
    cases = judging.cases(judging.logits, judging.logits)
    return judge(function, cases, losses.kl_divergence, mistakes, found=losses.soft_cross_entropy)


@exercise
def too_good(function: Callable) -> Verdict:
    """Check ``function(val_accuracies [E], test_accuracies [E]) -> epoch``. The last epoch is right too."""
    generator, cases, ties = judging.fresh_generator(), [], []
    for epochs in range(5, 5 + judging.ROUNDS):
        val, test = torch.rand(2, epochs, generator=generator)
        best, runner_up = val.topk(2).indices
        ties.append((val.where(torch.arange(epochs) != runner_up, val[best]), test))
        val[best] += 0.1  # so that an answer may round
        cases.append((val, test))
    mistakes = {
        "that is the worst epoch": lambda val, test: val.argmin(),
        "that is an accuracy: the number of the epoch is wanted": lambda val, test: val.max(),
    }
    if any(
        judge(function, cases, lambda val, test, k=k: torch.tensor(len(val) * k - 1), {}).passed for k in (0, 1)
    ):  # -1 is the last one too
        return Verdict(True, "right: the last epoch, which nobody chose")
    verdict = judge(function, cases, lambda val, test: val.argmax(), mistakes, lambda val, test: test.argmax())
    if verdict.passed is not None and _looks_at_test(function, cases + ties):
        return Verdict(False, "not yet: it still looks at the test set: other test accuracies, another epoch")
    return Verdict(True, "right: chosen by the validation pictures alone") if verdict.passed else verdict


def _looks_at_test(function, cases):
    """Where two epochs are equally good on validation, the test set decides if it counts for anything."""
    return any(function(val.clone(), test.clone()) != function(val.clone(), test.flip(0)) for val, test in cases)


def _scene():
    return Scene(judging.fresh_generator().initial_seed())


def _in_each_scene(judged):
    """The first verdict ``judged(scene, temperature)`` that is not "right", of several new scenes; else the last one.

    A loss is a single number: in one scene a wrong one can have the right value by chance.
    """
    for temperature in TEMPERATURES:
        verdict = judged(_scene(), temperature)
        if verdict.passed is not True:
            break
    return verdict


def _no_loss(loss):
    """A verdict where this is no single number; None where it is."""
    if loss is Ellipsis:
        return Verdict(None, judging.NOT_ATTEMPTED)
    unusable = judging.refuse_answer(loss, ())
    if unusable or torch.as_tensor(loss).ndim == 0:
        return unusable
    return Verdict(False, f"not yet: a loss is one number; yours has the shape {list(loss.shape)}")


def _same(loss, wanted):
    return torch.allclose(judging.plain(loss), judging.plain(wanted), rtol=1e-3, atol=TOLERANCE)


def _untrained(student, loss):
    """A verdict where ``loss`` cannot train ``student``; None where it can."""
    weights = list(student.parameters())
    recorded = isinstance(loss, torch.Tensor) and loss.requires_grad
    if recorded and any(g is not None for g in torch.autograd.grad(loss, weights, allow_unused=True)):
        return None
    return Verdict(False, "not yet: the number is right, but no gradient reaches the student")


def _soft_loss(scene, inputs, temperature):
    """T^2 KL as it should be: the teacher in eval mode, the student in train mode."""
    teacher, student = scene.teacher.eval(), scene.student.train()
    return losses.kd_loss(student(inputs), teacher(inputs), temperature=temperature)
