"""Bad inputs for public functions, made from their signatures: what is handed in must be refused, or answered soundly.

``table()`` names each function with arguments that it takes. ``spoilt`` puts something else in place of one of them;
``verdict`` says what the function made of it: None where it refused in a sentence or gave finite numbers.
"""

import contextlib
import math

import numpy as np
import torch

from kdkit import losses, models, training
from kdkit.measure import metrics

HUGE = 10**30
VALUES = {  # by name, so that a failure tells what was handed in
    "None": None,
    "True": True,
    "text": "four",
    "nothing": "",
    "bytes": b"4",
    "minus one": -1,
    "zero": 0,
    "a half": 0.5,
    "NaN": math.nan,
    "inf": math.inf,
    "minus inf": -math.inf,
    "huge": HUGE,
    "huge negative": -HUGE,
    "tiny": 1e-320,
    "complex": 1j,
    "a numpy number": np.float32(2.0),
    "a list": [1, 2],
    "an empty list": [],
    "a list of texts": ["a", "b", "c"],
    "a list with NaN": [0.5, math.nan, 0.7],
    "a dict": {"a": 1},
    "a class": int,
    "a function": len,
    "a scalar tensor": torch.tensor(1.0),
    "an empty tensor": torch.zeros(0),
    "an array": np.zeros((4, 3)),
}
CHANGES = {  # of a tensor
    "transposed": lambda tensor: tensor.T if tensor.ndim == 2 else tensor[None],
    "one row": lambda tensor: tensor[:1],
    "no rows": lambda tensor: tensor[:0],
    "one column": lambda tensor: tensor[..., :1],
    "no columns": lambda tensor: tensor[..., :0],
    "flat": lambda tensor: tensor.flatten(),
    "one dimension more": lambda tensor: tensor[..., None],
    "whole numbers": lambda tensor: tensor.long(),
    "truth values": lambda tensor: tensor.bool(),
    "bytes": lambda tensor: tensor.to(torch.uint8),
    "complex": lambda tensor: tensor + 1j,
    "half precision": lambda tensor: tensor.half(),
    "all NaN": lambda tensor: torch.full(tensor.shape, math.nan),
    "one NaN": lambda tensor: tensor.double().index_fill(0, torch.tensor([0]), math.nan),
    "all inf": lambda tensor: torch.full(tensor.shape, math.inf),
    "all -inf": lambda tensor: torch.full(tensor.shape, -math.inf),
    "one column of -inf": lambda tensor: torch.cat([tensor[..., :-1], tensor[..., -1:] - math.inf], -1),
    "huge": lambda tensor: tensor.double() + 1e300,
    "the smallest": lambda tensor: torch.full(tensor.shape, torch.finfo(torch.float32).min),
    "negative": lambda tensor: -tensor - 1,
    "sparse": lambda tensor: tensor.to_sparse(),
    "without data": lambda tensor: tensor.to("meta"),
}


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def network(seed=0):
    with models.seeded(seed):
        return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 3))


def step(teacher, student, temperature, inputs, optimizer, labels, soft_weight, hard_weight, mask):
    """``kd_step`` on new networks, where none are handed in, so that no try leaves a trace in the next one."""
    student = network(1) if student is NEW else student
    held = student if isinstance(student, torch.nn.Module) else network(1)
    optimizer = torch.optim.SGD(held.parameters(), 0.1) if optimizer is NEW else optimizer
    teacher = network() if teacher is NEW else teacher
    weights = {"soft_weight": soft_weight, "hard_weight": hard_weight, "mask": mask}
    return training.kd_step(teacher, student, temperature, inputs, optimizer, labels, **weights)


NEW = "a new one"


def table():
    """Public functions by name, each with arguments that it takes, by their names."""
    logits, labels = random(4, 3), torch.tensor([0, 1, 2, 1])
    pair = {"student_logits": logits, "teacher_logits": logits + 1}
    weighted = {"labels": labels, "temperature": 2.0, "soft_weight": 0.5, "hard_weight": 0.5, "mask": labels > 0}
    scores = {"values": [0.2, 0.4, 0.6], "baseline": [0.1, 0.5, 0.3]}
    images = torch.zeros(2, 3, 12, 12, dtype=torch.uint8)
    written = torch.tensor([[2, 1, 0, 1], [1, 2, 2, 0]])
    sizes = {"width": 2, "classes": 3, "channels": 3, "seed": 0}
    return {
        "soft_cross_entropy": (losses.soft_cross_entropy, {**pair, "temperature": 2.0}),
        "kl_divergence": (losses.kl_divergence, {**pair, "temperature": 2.0, "mask": labels > 0}),
        "kd_loss": (losses.kd_loss, {**pair, **weighted}),
        "kd_terms": (losses.kd_terms, {**pair, **weighted}),
        "hard_cross_entropy": (losses.hard_cross_entropy, {"student_logits": logits, "labels": labels}),
        "cosine_distance": (
            losses.cosine_distance,
            {"student_hidden": logits, "teacher_hidden": logits + 1, "mask": labels > 0},
        ),
        "reverse_kl": (losses.reverse_kl, {**pair, "temperature": 2.0, "mask": labels > 0}),
        "jensen_shannon": (losses.jensen_shannon, {**pair, "beta": 0.5, "temperature": 2.0, "mask": labels > 0}),
        "top_k": (losses.top_k, {"teacher_logits": logits, "k": 2, "temperature": 2.0}),
        "top_k_kl": (
            losses.top_k_kl,
            {"student_logits": logits, **losses.top_k(logits, 2)._asdict(), "tail": True, "mask": labels > 0},
        ),
        "next_token": (losses.next_token, {"logits": random(2, 4, 3), "tokens": written, "loss_mask": written > 0}),
        "completion_mask": (losses.completion_mask, {"tokens": written, "prompt": 1, "end": 0}),
        "sampled_reverse_kl": (
            losses.sampled_reverse_kl,
            {
                "student_logits": random(2, 4, 3),
                "teacher_logits": random(2, 4, 3) + 1,
                "labels": written,
                "to_go": True,
            },
        ),
        "predict": (metrics.predict, {"model": models.student(2, 3), "images": images}),
        "accuracy": (metrics.accuracy, {"logits": logits, "labels": labels}),
        "agreement": (metrics.agreement, pair),
        "expected_calibration_error": (
            metrics.expected_calibration_error,
            {"logits": logits, "labels": labels, "bins": 5},
        ),
        "confusion": (metrics.confusion, {"logits": logits, "labels": labels}),
        "entropy": (metrics.entropy, {"probabilities": logits.softmax(1)}),
        "mean_soft_targets": (metrics.mean_soft_targets, {"logits": logits, "labels": labels, "temperature": 2.0}),
        "beyond_class": (metrics.beyond_class, {"logits": logits, "labels": labels, "temperature": 2.0}),
        "bias_for_prior": (metrics.bias_for_prior, {"logits": logits, "label": 1, "prior": 0.2}),
        "paired_interval": (metrics.paired_interval, scores),
        "bootstrap_interval": (metrics.bootstrap_interval, scores),
        "rank_correlation": (metrics.rank_correlation, {"first": [0.1, 0.5, 0.3], "second": [0.2, 0.4, 0.6]}),
        "student": (models.student, {**sizes, "depth": 3}),
        "teacher": (models.teacher, sizes),
        "encoder": (models.encoder, {"width": 8, "depth": 1, "seed": 0}),
        "as_input": (models.as_input, {"images": images}),
        "kd_step": (
            step,
            {"teacher": NEW, "student": NEW, "inputs": random(4, 6), "optimizer": NEW, **weighted},
        ),
    }


TELLS_NAN_BY_NAN = (
    *("kd_terms", "hard_cross_entropy", "cosine_distance", "triple_loss"),  # loops read these losses anyway
    *("top_k", "next_token"),  # they hand logits on, and what stands in padding may be anything
)


def spoilt(arguments, name):
    """What may stand in place of argument ``name``: pairs of what it is called and the arguments."""
    good = arguments[name]
    for what, value in VALUES.items():
        yield what, {**arguments, name: value}
    if isinstance(good, torch.Tensor):
        for what, change in CHANGES.items():
            with contextlib.suppress(RuntimeError):  # truth values have no negative
                yield what, {**arguments, name: change(good)}


def verdict(function, arguments, nan_for_nan=False):
    """What is wrong with how ``function`` takes ``arguments``; None if it refuses in a sentence or answers soundly."""
    try:
        answer = function(**arguments)
    except (ValueError, OSError) as error:
        raw = getattr(error, "filename", None) is not None  # as the system says it, by number and name
        return f"an error that says nothing: {error!r}" if raw or len(str(error).split()) < 5 else None
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None if nan_for_nan or _sound(answer) else f"it answers {answer!r}"


def _sound(answer):
    if isinstance(answer, torch.Tensor):
        return bool(answer.isfinite().all())
    if isinstance(answer, tuple | list):
        return all(_sound(part) for part in answer)
    if isinstance(answer, dict):
        return all(_sound(part) for part in answer.values())
    return not isinstance(answer, float) or math.isfinite(answer)
