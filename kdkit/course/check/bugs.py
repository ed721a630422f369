"""The bug museum's checks: whether a reader has fixed an exhibit of notebook 03b. Names are those of the symptoms.

Where the code is as it was found, the verdict is neither right nor wrong; a change that fixes nothing is told why.
"""

import copy
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from kdkit import losses
from kdkit.course import exhibits
from kdkit.course.check import fixing, judging, samples, words
from kdkit.course.check.judging import TOLERANCE, Verdict, judge
from kdkit.course.check.loss import (
    IMAGE_CHANGES,
    KD_MISTAKES,
    KD_PAIRS,
    TOO_WEAK,
    and_far,
    and_trains,
    kl_with,
    weighted_loss,
)
from kdkit.course.check.record import exercise
from kdkit.course.check.step import Scene, reference_step


@exercise
def quiet_teacher(function: Callable) -> Verdict:
    """Check ``function(student_logits, teacher_logits, labels, temperature, soft_weight) -> loss``."""
    makers = samples.logits, samples.logits, samples.labels, samples.temperature, samples.share
    mistakes = {said: loss for said, loss in KD_MISTAKES.items() if said != TOO_WEAK}
    cases = samples.cases(*makers)
    verdict = judge(function, cases, weighted_loss, mistakes, KD_PAIRS, found=exhibits.quiet_teacher)
    why = "the soft term is as small as before. Print by how many numbers it is divided, for 10 classes and for 1,000"
    verdict = fixing.or_still_there(verdict, function, exhibits.quiet_teacher, why)
    return and_trains(verdict, function, cases[0], weighted_loss)


@exercise
def cliff(function: Callable) -> Verdict:
    """Check ``function(student_logits, teacher_logits, labels, temperature, hard_weight) -> loss``."""

    def hard_weight(generator):
        share = samples.share(generator)
        return 0.0 if share > 0.75 else share if share > 0.65 else share / 1000  # none, much, and next to none

    def loss(s, z, y, t, w, t_power=2, ce=F.cross_entropy):
        return (w * ce(s, y) if w else 0.0) + (1 - w) * t**t_power * losses.kl_divergence(s, z, t)

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
    makers = samples.logits, samples.logits, samples.labels, samples.temperature, hard_weight
    cases = samples.cases(*makers)
    verdict = judge(function, cases, loss, mistakes, found=exhibits.cliff)
    why = "at a weight of 0 the loss is 1/T^2 of what it is just above 0. Follow the branch that returns then"
    verdict = fixing.or_still_there(verdict, function, exhibits.cliff, why)
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
        unusable = fixing.no_loss(loss)
        if unusable:
            return unusable
        moved = any(not torch.equal(before[name], value) for name, value in scene.teacher.state_dict().items())
        if moved:
            return fixing.still_there(distiller, exhibits.Distiller, _why_it_sinks(scene.teacher))
        if not scene.student.training:
            return Verdict(False, "not yet: now the student is in eval mode too, and it is the one that should train")
        wrong = fixing.another_loss(scene, loss, scene.inputs[0], scene.inputs[0], temperature)
        if wrong:
            return Verdict(False, f"not yet: the teacher is at rest, {wrong}")
        pair.eval()
        if scene.student.training:
            return Verdict(False, "not yet: pair.eval() no longer reaches the student, which validation needs")
        right = Verdict(True, "right: train() reaches the student, and the teacher does not move, to the bit")
        return fixing.untrained(scene.student, loss) or right

    return fixing.in_each_scene(judged)


def _why_it_sinks(teacher):
    if not any(weight.requires_grad for weight in teacher.parameters()):
        return "requires_grad_(False) keeps gradients away, but BatchNorm's statistics move on each pass in train mode"
    if teacher.training:
        return (
            "the teacher is in train mode when it is asked. The loop calls pair.train() after your constructor has run"
        )
    return "the teacher's BatchNorm statistics move all the same: it was asked in train mode before it came to rest"


@exercise
def coin_tosser(function: Callable) -> Verdict:
    """Check ``function(teacher, dataset) -> logits [N, C]``, in the order of the data set."""
    scene = fixing.new_scene()
    scene.teacher.eval()
    inputs = torch.randn(230, 6, generator=samples.fresh_generator())
    with torch.no_grad():
        wanted = scene.teacher(inputs)
    try:
        kept = function(scene.teacher, TensorDataset(inputs, torch.arange(len(inputs))))
    except Exception as error:
        return judging.stopped(error, function)
    shape = list(kept.shape) if isinstance(kept, torch.Tensor) else type(kept).__name__
    if shape != list(wanted.shape):
        return Verdict(False, f"not yet: one row of logits for each image is wanted, {list(wanted.shape)}; got {shape}")
    kept, wanted = judging.plain(kept), wanted.double()
    close = functools.partial(torch.allclose, rtol=1e-2, atol=1e-2)  # half precision will do for a cache
    if close(kept, wanted):
        return Verdict(True, "right: row i belongs to image i")
    if close(kept.sort(0).values, wanted.sort(0).values):
        why = "the rows are those of the data set, in another order: row 7 is not that of image 7"
        return fixing.still_there(function, exhibits.coin_tosser, why)
    return Verdict(False, "not yet: these are other logits than the teacher's")


@exercise
def never_zero(function: Callable) -> Verdict:
    """Check ``function(teacher, student, images, augment, temperature) -> loss``.

    By what it does: an exact copy of the teacher must read 0, and another student must see augmented images.
    """

    def judged(scene, temperature):
        generator = samples.fresh_generator()

        def augment(images):
            return images + torch.randn(images.shape, generator=generator)

        images = scene.inputs[0].clone()
        asked = fixing.ask(function, scene, images, augment, temperature)
        if isinstance(asked, Verdict):
            return asked
        loss, teachers, students = asked
        if torch.equal(students, scene.inputs[0]):
            return Verdict(False, "not yet: the student sees the bare images now, and augmentation is lost")
        if torch.equal(teachers, scene.inputs[0]):
            return Verdict(
                False, "not yet: the teacher sees the bare images and the student a view of them: still not the same"
            )
        if not torch.equal(teachers, students):
            why = "the two networks are asked about two different views. How often is augment called?"
            return fixing.still_there(function, exhibits.never_zero, why)
        wrong = fixing.another_loss(scene, loss, teachers, students, temperature)
        if wrong:
            return Verdict(False, f"not yet: both see the same view, {wrong}")
        right = Verdict(True, "right: both networks are asked about the same view")
        verdict = fixing.untrained(scene.student, loss) or right
        return judging.and_in_place(verdict) if judging.changed([images], [scene.inputs[0]]) else verdict

    return fixing.in_each_scene(judged)


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
    cases = samples.cases(network, network, inputs, samples.temperature)
    verdict = judge(function, cases, loss(), mistakes, found=exhibits.pale_targets)
    why = "the targets are as pale as before. Print the largest number in the first row of t"
    verdict = fixing.or_still_there(verdict, function, exhibits.pale_targets, why)
    return (verdict.passed and fixing.untrained(cases[0][1], function(*cases[0]))) or verdict


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
        got = any(weight.grad is not None for weight in theirs.teacher.parameters())
        why = f"the small network's weights do not move{', and the large one gets the gradients' * got}"
        return fixing.still_there(function, exhibits.frozen_student, why)
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
        "you took off the student's entropy: take off the teacher's": lambda s, z: (
            losses.soft_cross_entropy(s, z) - entropy(s)
        ),
        words.SWAPPED: lambda s, z: losses.kl_divergence(z, s),
        words.SIGN: lambda s, z: -losses.kl_divergence(s, z),
        words.CLASSES_TOO: lambda s, z: losses.kl_divergence(s, z) / s.shape[1],
        words.NOT_DIVIDED: lambda s, z: losses.kl_divergence(s, z) * len(s),
    }
    cases = samples.cases(samples.logits, samples.logits)
    verdict = judge(function, cases, losses.kl_divergence, mistakes, found=exhibits.restless_kl)
    why = "for the teacher against itself it reads more than 0. What is left over then?"
    return fixing.or_still_there(verdict, function, exhibits.restless_kl, why)


@exercise
def too_good(function: Callable) -> Verdict:
    """Check ``function(val_accuracies [E], test_accuracies [E]) -> epoch``. The last epoch is right too."""
    generator, cases, ties = samples.fresh_generator(), [], []
    for epochs in range(5, 5 + samples.ROUNDS):
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
    verdict = judge(function, cases, lambda val, test: val.argmax(), mistakes, found=exhibits.too_good)
    if verdict.passed is not None and _looks_at_test(function, cases + ties):
        return Verdict(False, "not yet: it still looks at the test set: other test accuracies, another epoch")
    why = "the epoch is still the one that is best on the test images"
    verdict = fixing.or_still_there(verdict, function, exhibits.too_good, why)
    return Verdict(True, "right: chosen by the validation images alone") if verdict.passed else verdict


def _looks_at_test(function, cases):
    """Where two epochs are equally good on validation, the test set decides if it counts for anything."""
    return any(function(val.clone(), test.clone()) != function(val.clone(), test.flip(0)) for val, test in cases)


REVERSE_MISTAKES = judging.two_at_once(
    lambda **change: kl_with(**{"swap": True, **change}),
    {
        "this is the other direction, KL(teacher || student): here the student's probabilities weigh": {"swap": False},
        words.LOG_MISSING.replace("student", "teacher"): {"log": False},
        **{said: IMAGE_CHANGES[said] for said in (words.NO_TEMPERATURE, words.MULTIPLIED, words.OVER_BATCH)},
        **{said: IMAGE_CHANGES[said] for said in (words.CLASSES_TOO, words.NOT_DIVIDED)},
    },
)


@exercise
def healthy_loss(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, C], teacher_logits [B, C], temperature) -> KL(student || teacher)``."""
    right, cases = kl_with(swap=True), samples.cases(samples.logits, samples.logits, samples.temperature)
    far = samples.cases(samples.far_apart, samples.far_apart, samples.temperature)[0]
    verdict = and_far(judge(function, cases, right, *REVERSE_MISTAKES), function, far, right)
    verdict = and_trains(verdict, function, cases[0], right)
    if not verdict.passed:
        return verdict

    def slope(of: Callable) -> torch.Tensor:
        return samples.gradient(lambda s: of(s, *copy.deepcopy(far[1:])), far[0])

    ours, theirs = slope(right), slope(function)
    if not theirs.isfinite().all():
        why = "its gradient is nan where a probability of the student rounds to 0. F.kl_div takes the logarithm of its "
        return fixing.still_there(function, exhibits.healthy_loss, f"{why}second argument, and what is that of 0?")
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=TOLERANCE):
        return Verdict(False, "not yet: no nan is left, but where logits lie far apart the gradient is another one now")
    return Verdict(
        True, "right: the same numbers as before, and a gradient that is finite however far logits lie apart"
    )


@exercise
def short_sighted(function: Callable) -> Verdict:
    """Check ``function(teacher, student, images, normalise, temperature) -> loss``."""

    def judged(scene, temperature):
        shift = 2 + torch.rand((), generator=samples.fresh_generator())

        def normalise(images):
            return (images - shift) * 3

        bare, images = scene.inputs[0], scene.inputs[0].clone()
        asked = fixing.ask(function, scene, images, normalise, temperature)
        if isinstance(asked, Verdict):
            return asked
        loss, teachers, students = asked
        if not torch.equal(students, normalise(bare)):
            return Verdict(
                False, "not yet: the student is to see normalised images, once normalised: it is built for them"
            )
        if not torch.equal(teachers, bare):
            why = "the teacher sees other images than it was trained on, which go from 0 to 1"
            return fixing.still_there(function, exhibits.short_sighted, why)
        wrong = fixing.another_loss(scene, loss, bare, students, temperature)
        if wrong:
            return Verdict(False, f"not yet: each network sees what it was made for, {wrong}")
        verdict = fixing.untrained(scene.student, loss) or Verdict(
            True, "right: each network sees what it was made for"
        )
        return judging.and_in_place(verdict) if judging.changed([images], [bare]) else verdict

    return fixing.in_each_scene(judged)
