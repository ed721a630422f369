"""What may be handed to a loss, or to anything else here: checked, in sentences that say what to do.

Shapes, kinds and plain numbers are looked at always. What *stands in* a tensor (the range of labels, a mask of other
values than 0 and 1) is looked at on the CPU alone, where looking costs nothing: on a GPU each look would make the host
wait for the device, once a step. While ``torch.compile`` traces, nothing is looked at.
"""

import math
import numbers
import operator
from typing import Any

import torch
from torch import Tensor

IGNORE_INDEX = -100  # the label that PyTorch and Hugging Face give to tokens that have none
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def whole(value: Any, name: str, least: int | None = None, most: int | None = None, advice: str = "") -> int:
    """``value`` as an int: anything that counts as a whole number, NumPy's too, but neither True nor 1.0.

    Raises ``ValueError`` that names ``name``, what it must be and what was got.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is not None and (least is None or number >= least) and (most is None or number <= most):
        return number
    bounds = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
    raise ValueError(f"{name} must be a whole number{bounds}; got {value!r}.{advice and ' '}{advice}")


def positive(name: str, value: object, otherwise: str = "") -> float:
    """``value`` as a float; ``ValueError`` unless it is a finite number above 0. ``otherwise``: what else it may be."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or value <= 0 or not value < math.inf:
        otherwise = otherwise and f", or {otherwise}"
        raise ValueError(f"{name} must be a finite number above 0{otherwise}; got {value!r}.")
    return float(value)


def check_temperature(temperature: object) -> float:
    """``temperature`` as a float; ``ValueError`` unless it is a finite number above 0."""
    value = _number("temperature", temperature)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"temperature must be a finite number above 0; got {value:g}. "
            "(T -> 0 would be the argmax, T -> inf the uniform distribution.)"
        )
    return value


def check_weight(name: str, weight: object) -> float:
    """``weight`` as a float; ``ValueError`` unless it is a finite number of at least 0."""
    value = _number(name, weight)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number of at least 0; got {value:g}.")
    return value


def _number(name: str, value: object) -> float:
    # float() would also take "4", True, and a tensor, whose gradient it would drop
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be a plain number; got {value!r}.")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def check_flag(name: str, value: object) -> bool:
    """``value``; ``ValueError`` unless it is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False; got {described(value)}.")
    return value


def described(value: object) -> str:
    """What ``value`` is, in words: of a tensor its dtype and shape, of anything else its type."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def answered(logits: Tensor) -> Tensor:
    """Which rows of ``logits`` ``[N, C]`` are an answer: bool ``[N]``, False for NaN, +inf, or nothing but -inf."""
    return logits.amax(-1).isfinite()  # NaN where there is one, -inf where every class is ruled out


def check_dense(name: str, tensor: Tensor, beside: Tensor | None = None) -> None:
    """``ValueError`` unless ``tensor`` ``[...]`` is dense, of real numbers, and on the device of ``beside``."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_complex():
        got = f"{tensor.layout} of {tensor.dtype} on {tensor.device}"
        raise ValueError(f"{name} must be a dense tensor of real numbers; got {got}.")
    if beside is not None and tensor.device != beside.device:
        raise ValueError(f"{name} must lie on {beside.device}, as what it belongs to does; got {tensor.device}.")


def check_pair(student_logits: Tensor, teacher_logits: Tensor, kind: str = "logits") -> None:
    """``ValueError`` unless both are logits ``[B, C]`` or ``[B, L, V]`` (``kind`` "hidden": states) of one shape."""
    check_logits(f"student_{kind}", student_logits)
    check_logits(f"teacher_{kind}", teacher_logits)
    student, teacher = tuple(student_logits.shape), tuple(teacher_logits.shape)
    if student == teacher:
        check_dense(f"teacher_{kind}", teacher_logits, student_logits)
        return
    if kind == "hidden":
        raise ValueError(
            f"hidden states must be alike in shape to have an angle; got student_hidden {list(student)}, "
            f"teacher_hidden {list(teacher)}."
        )
    what = "class counts" if student[:-1] == teacher[:-1] else "shapes"
    if len(student) == len(teacher) and student[1:] == teacher[1:]:
        what = "batch sizes"
    raise ValueError(
        f"student and teacher must answer on the same samples and the same classes, but their {what} differ: "
        f"student_logits {list(student)}, teacher_logits {list(teacher)}.{_padded(student, teacher)}"
    )


def _padded(student: tuple[int, ...], teacher: tuple[int, ...]) -> str:
    """The way out where two vocabularies differ in length; "" where something else does."""
    if len(student) != 3 or student[:-1] != teacher[:-1]:
        return ""
    return (
        " If both have the same tokenizer, the rest is padding that no token uses: cut it off both, logits[..., :n], "
        "with n = len(tokenizer). If the tokenizers differ, a number is another word in each: no such loss applies."
    )


def check_features(student: Tensor, teacher: Tensor, shape: str = "[B, ...]", alike: bool = True) -> None:
    """``ValueError`` unless both are floating-point features ``[B, ...]`` of the same samples, in ``shape``, not empty.

    ``alike``: whether all their axes must have the same length, and not only the first.
    """
    axes = None if "..." in shape else shape.count(",") + 1
    for name, feature in ("student's", student), ("teacher's", teacher):
        if not isinstance(feature, Tensor) or not feature.is_floating_point():
            raise ValueError(f"the {name} feature must be a floating-point tensor {shape}; got {described(feature)}.")
        if feature.ndim != axes if axes else feature.ndim < 2:
            raise ValueError(f"the {name} feature must be {shape}; got shape {list(feature.shape)}.")
        if feature.numel() == 0:
            raise ValueError(f"the {name} feature is empty: shape {list(feature.shape)}.")
        check_dense(f"the {name} feature", feature, student)
    ours, theirs = list(student.shape), list(teacher.shape)
    if ours[0] != theirs[0]:
        raise ValueError(
            f"both features must be of the same samples; got {ours[0]} of the student, {theirs[0]} of the teacher."
        )
    if alike and ours != theirs:
        raise ValueError(
            f"the features must be alike in shape; got {ours} of the student, {theirs} of the teacher. Put a projector "
            "between (models.Projector), or take a loss that compares the samples of a batch (losses.pkt)."
        )


def check_logits(name: str, logits: Tensor) -> None:
    """``ValueError`` unless ``logits`` are floating-point, ``[B, C]`` or ``[B, L, V]``, and not empty."""
    if not isinstance(logits, Tensor):
        raise ValueError(f"{name} must be a tensor of logits; got {type(logits).__name__}. (Take `.logits` of it?)")
    if not logits.is_floating_point():
        raise ValueError(f"{name} must hold floating-point logits; got {logits.dtype}. Labels go into `labels`.")
    if logits.ndim not in (2, 3):
        raise ValueError(f"{name} must be [B, C] or [B, L, V]; got shape {list(logits.shape)}.")
    if logits.numel() == 0:
        raise ValueError(f"{name} is empty: shape {list(logits.shape)}. A mean needs at least one sample.")
    check_dense(name, logits)


def check_classes(logits: Tensor) -> None:
    """``ValueError`` for logits ``[..., C]`` of a single class."""
    if logits.shape[-1] == 1:
        raise ValueError(
            f"logits {list(logits.shape)} have a single class, whose softmax is 1 whatever the network says: there is "
            "nothing to learn. For two classes with one logit z, give [0, z]: torch.cat([torch.zeros_like(z), z], -1); "
            "or use a sigmoid loss, such as F.binary_cross_entropy_with_logits against torch.sigmoid(teacher / T)."
        )


def check_labels(labels: Tensor, logits: Tensor) -> None:
    """``ValueError`` unless ``labels`` ``[B]`` or ``[B, L]`` are 0..C-1 or -100, one for each row of ``logits``."""
    expected = list(logits.shape[:-1])
    if not isinstance(labels, Tensor) or labels.dtype not in INTEGERS:
        got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(f"labels must be an integer tensor {expected} of class numbers; got {got}.")
    if list(labels.shape) != expected:
        raise ValueError(f"labels must be {expected}, one for each row of logits; got shape {list(labels.shape)}.")
    check_dense("labels", labels, logits)
    if may_look(labels):
        _check_label_range(labels, logits.shape[-1])


def _check_label_range(labels: Tensor, classes: int) -> None:
    labels = labels.long()  # first: as uint8, -100 would be 156
    labels = labels[labels != IGNORE_INDEX]
    if labels.numel() == 0:
        raise ValueError(
            "every label is -100 (ignored): there is nothing to average over. (With kd_loss: Set hard_weight=0.)"
        )
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= classes:
        bad = low if low < 0 else high
        raise ValueError(f"labels must lie in 0..{classes - 1} for {classes} classes (or be -100); got {bad}.")


def check_mask(mask: Tensor, logits: Tensor) -> Tensor:
    """``mask`` ``[B]`` or ``[B, L]`` as bool; ``ValueError`` unless it is 0 or 1 for each row, and not 0 for all."""
    expected = list(logits.shape[:-1])
    if not isinstance(mask, Tensor) or list(mask.shape) != expected:
        got = f"shape {list(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"mask must be a tensor {expected}, one value for each row of logits; got {got}.")
    check_dense("mask", mask, logits)
    chosen = mask.bool()
    if may_look(mask):
        if not torch.equal(chosen.to(mask.dtype), mask):
            raise ValueError("mask must be bool or hold only 0 and 1 (1: this token counts); got other values.")
        if not chosen.any():
            raise ValueError("mask selects nothing: the soft term has no token to average. 1 (or True) means 'counts'.")
    return chosen


def check_reduction(reduction: object) -> None:
    """``ValueError`` for what is none of "mean" and "none"."""
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction must be 'mean' or 'none'; got {reduction!r}. (For a sum: .sum() of 'none'.)")


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of ``values`` ``[B]`` or ``[B, L]`` where ``mask``, bool of that shape, is True: a scalar."""
    if mask is None:
        return values.mean()
    return values.masked_fill(~mask, 0.0).sum() / mask.sum()


def at_least_float32(logits: Tensor) -> Tensor:
    """``logits`` ``[...]`` to compute with: bfloat16 times T^2 is 6 % off at T = 20; float64 stays float64."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def unit_length(vectors: Tensor, least: float = 0.0) -> Tensor:
    """``vectors``, the rows of an array ``[..., D]``, each divided by its L2 norm, however small or large its numbers.

    A row of numbers of at most ``least`` becomes 0, and gets no gradient: ``F.normalize`` would give one of 1e12.
    """
    largest = vectors.detach().abs().amax(-1, keepdim=True)  # divided by first: a square of 1e-30 would be 0
    scaled = vectors / torch.where(largest > 0, largest, 1.0)
    return scaled / torch.where(largest > least, scaled.norm(dim=-1, keepdim=True), math.inf)


def centred(rows: Tensor) -> Tensor:
    """``rows`` ``[..., D]`` less their means; exactly 0 where a row is constant but for rounding."""
    difference = rows - rows.mean(-1, keepdim=True)
    rounding = 8 * torch.finfo(rows.dtype).eps * rows.detach().abs().amax(-1, keepdim=True)
    return difference.masked_fill(difference.detach().abs().amax(-1, keepdim=True) <= rounding, 0.0)


def inner_products(rows: Tensor) -> Tensor:
    """The inner products of all pairs of ``rows`` ``[..., B, D]``: ``[..., B, B]``, whatever autocast says."""
    with torch.autocast(rows.device.type, enabled=False):
        return rows @ rows.mT


def finite_on_features(loss: Tensor, student: Tensor, teacher: Tensor) -> Tensor:
    """``loss``, a scalar of two features ``[B, ...]``; where looking is free, ``ValueError`` unless it is finite."""
    if may_look(loss) and not loss.isfinite():
        for name, feature in ("student's", student), ("teacher's", teacher):
            if not feature.isfinite().all():
                raise ValueError(f"the loss is {loss.item()}: the {name} feature holds NaN or infinite numbers.")
        raise ValueError(f"the loss is {loss.item()}: the features are finite, but too large to be multiplied.")
    return loss


def check_weights(**weights: object) -> tuple[float, ...]:
    """The weights of a sum as floats. ``ValueError`` unless they are finite, at least 0, and not all 0."""
    checked = tuple(check_weight(name, weight) for name, weight in weights.items())
    if not any(checked):
        raise ValueError(f"{' and '.join(weights)} are both 0: nothing is left to learn from. Give one above 0.")
    return checked


def may_look(tensor: Tensor) -> bool:
    """Whether a look at what stands in ``tensor`` ``[...]`` is free: it is on the CPU, and no compiler traces."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()
