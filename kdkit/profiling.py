"""What a network costs: arithmetic and time. (What it has learnt to hold: ``kdkit.models.parameters``.)"""

import copy
import logging
import statistics
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from kdkit import models

SHORTEST = 0.02  # seconds of a measurement: anything shorter measures the clock


def flops(model, inputs):
    """Floating-point operations of one forward on ``inputs``: a multiplication and an addition count as two.

    Counted by ``torch.utils.flop_counter``: convolutions and matrix products, which are nearly all of it. The model is
    left as it is, BatchNorm's statistics included: a copy is asked.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(model)(inputs)
    return counter.get_total_flops()


def training_flops(model, inputs):
    """The same for a forward and a backward: what a training step multiplies and adds."""
    with FlopCounterMode(display=False) as counter:
        models.logits(copy.deepcopy(model), inputs).sum().backward()
    return counter.get_total_flops()


class Latency(NamedTuple):
    """Seconds a call, one for each round: ``times``; their ``median`` and ``quartiles``."""

    times: tuple

    @property
    def median(self):
        return statistics.median(self.times)

    @property
    def quartiles(self):
        low, _, high = statistics.quantiles(self.times, n=4, method="inclusive")
        return low, high

    def __str__(self):
        low, high = self.quartiles
        return f"{1000 * self.median:.2f} ms (middle half {1000 * low:.2f} to {1000 * high:.2f})"


def latency(contenders, rounds=11):
    """How long each of several calls takes: a ``Latency`` for each entry of ``contenders``, a dict of name to function.

    They take turns, so that what slows the machine for a moment slows all of them, and each turn begins with calls that
    warm up and do not count. With as many threads as torch uses now. On a CUDA GPU the time ends when
    the result is there.

    Raises ``ValueError`` for fewer than two rounds: quartiles need them.

    >>> seconds = latency({"a sum": lambda: torch.ones(9).sum()}, rounds=2)["a sum"]
    >>> 0 < seconds.median < 1
    True
    """
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 2:
        raise ValueError(f"rounds must be a whole number of at least 2; got {rounds!r}.")
    threads = torch.get_num_threads()
    timers = {
        name: _timer_class()("call()", globals={"call": call}, num_threads=threads) for name, call in contenders.items()
    }
    calls = {name: max(1, round(SHORTEST / timer.timeit(3).mean)) for name, timer in timers.items()}
    times = {name: [] for name in timers}
    for _ in range(rounds):
        for name, timer in timers.items():
            times[name].append(timer.timeit(calls[name]).mean)
    return {name: Latency(tuple(taken)) for name, taken in times.items()}


def _timer_class():
    """torch's timer. Its module brings in the one that builds extensions, which warns where CUDA's compiler is found
    but no GPU; nobody who measures a network needs to read that."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from torch.utils.benchmark import Timer

    return Timer


def predicting(model, images):
    """A call for ``latency``: ``model``, in eval mode and without gradient, on uint8 ``images`` ``[N, C, H, W]``."""
    model.eval()
    inputs = models.as_input(images, next(model.parameters()).device)

    @torch.inference_mode()
    def predict():
        return model(inputs)

    return predict
