"""How a fixed exhibit of the bug museum is judged: the bug known again, and two small networks to try it on."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kdkit import losses
from kdkit.course.check import judging, samples, words
from kdkit.course.check.judging import Verdict
from kdkit.course.check.step import Scene

TEMPERATURES = 1.5, 3.0, 8.0


def still_there(function: Callable, exhibit: Callable, why: str) -> Verdict:
    """The verdict where the bug is there: no attempt yet if the code is the ``exhibit``'s, else ``why`` it is none."""
    if same_code(function, exhibit):
        return Verdict(None, words.AS_FOUND)
    return Verdict(False, f"not yet: you changed the code, but the bug is still there: {why}")


def or_still_there(verdict: Verdict, function: Callable, exhibit: Callable, why: str) -> Verdict:
    """``verdict``, of ``judge``; where the answers were those of the exhibit, whether its code is, too."""
    as_found = verdict.passed is None and verdict.message == words.AS_FOUND
    return still_there(function, exhibit, why) if as_found else verdict


def same_code(one: Callable, other: Callable) -> bool:
    """Whether two functions or classes are written alike, but for comments, docstrings and annotations."""
    if isinstance(one, type) and isinstance(other, type):
        ours, theirs = ({k: v for k, v in vars(each).items() if inspect.isfunction(v)} for each in (one, other))
        return ours.keys() == theirs.keys() and all(same_code(ours[name], theirs[name]) for name in ours)
    return _written(one) == _written(other) is not None


def _written(function):
    """The arguments and the statements of a function as text, or None where its source is not to be had."""
    try:
        [node] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
        said = ast.get_docstring(node) is not None
        return [argument.arg for argument in node.args.args], list(map(ast.unparse, node.body[said:]))
    except (OSError, TypeError, ValueError, SyntaxError, AttributeError):
        return None


def new_scene() -> Scene:
    """Two small networks and their inputs, other ones each time."""
    return Scene(samples.fresh_generator().initial_seed())


class Asked(NamedTuple):
    """The loss of an exhibit, and what its teacher and its student were asked about, each ``[B, 6]``."""

    loss: Tensor
    teachers: Tensor
    students: Tensor


def ask(function: Callable, scene: Scene, images: Tensor, prepare: Callable, temperature: float) -> Asked | Verdict:
    """What ``function(teacher, student, images [B, 6], prepare, temperature) -> loss`` does in a scene.

    A verdict where it stops, gives no loss, or leaves one of the two networks out.
    """
    seen: tuple[list[Tensor], list[Tensor]] = [], []
    for network, batches in zip((scene.teacher.eval(), scene.student.train()), seen, strict=True):
        network[0].register_forward_hook(lambda layer, inputs, out, batches=batches: batches.append(inputs[0].clone()))
    try:
        loss = function(scene.teacher, scene.student, images, prepare, temperature)
    except Exception as error:
        return judging.stopped(error, function)
    unusable = no_loss(loss)
    if unusable:
        return unusable
    if not all(seen):
        return Verdict(False, f"not yet: {words.ASK_BOTH}")
    return Asked(loss, *map(torch.cat, seen))


def in_each_scene(judged: Callable[[Scene, float], Verdict]) -> Verdict:
    """The first verdict ``judged(scene, temperature)`` that is not "right", of several new scenes; else the last one.

    A loss is a single number: in one scene a wrong one can have the right value by chance.
    """
    for temperature in TEMPERATURES:
        verdict = judged(new_scene(), temperature)
        if verdict.passed is not True:
            break
    return verdict


def no_loss(loss: object) -> Verdict | None:
    """A verdict where this is no single number; None where it is."""
    if loss is Ellipsis:
        return Verdict(None, words.NOT_ATTEMPTED)
    unusable = judging.refuse_answer(loss, ())
    if unusable or torch.as_tensor(loss).ndim == 0:
        return unusable
    return Verdict(False, f"not yet: a loss is one number; yours has the shape {list(torch.as_tensor(loss).shape)}")


def another_loss(scene: Scene, loss: Tensor, of_teacher: Tensor, of_student: Tensor, temperature: float) -> str | None:
    """What is wrong with a ``loss`` that is not T^2 KL of the networks, each asked about its inputs ``[B, ...]``."""

    def is_at(t):
        teacher, student = scene.teacher.eval(), scene.student.train()
        wanted = judging.plain(losses.kd_loss(student(of_student), teacher(of_teacher), temperature=t))
        return torch.allclose(judging.plain(loss), wanted, rtol=1e-3, atol=judging.TOLERANCE)

    return None if is_at(temperature) else f"but {words.FOUR}" if is_at(4.0) else words.ANOTHER_LOSS


def untrained(student: nn.Module, loss: Tensor) -> Verdict | None:
    """A verdict where ``loss``, a scalar, cannot train ``student``; None where it can."""
    weights = list(student.parameters())
    recorded = isinstance(loss, torch.Tensor) and loss.requires_grad
    if recorded and any(g is not None for g in torch.autograd.grad(loss, weights, allow_unused=True)):
        return None
    return Verdict(False, f"not yet: {words.NO_GRADIENT}")
