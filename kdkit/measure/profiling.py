"""What a network costs: arithmetic, memory and time. (What it has learnt to hold: ``kdkit.models.count_parameters``.)

A time means nothing by itself. So contenders take turns, and each ratio stands beside the noise: what the same call
against itself gave, in the same rounds.
"""

import contextlib
import copy
import logging
import os
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from kdkit import models

SHORTEST = 0.02  # seconds of a measurement: anything shorter measures the clock


def flops(model: nn.Module, inputs: Tensor | Mapping[str, Tensor]) -> int:
    """Floating-point operations of one forward on ``inputs`` ``[B, ...]``: a multiplication and an addition are two.

    A mapping (a tokenizer's batch) is handed over by name.

    Counted by ``torch.utils.flop_counter``: convolutions and matrix products, which are nearly all of it. The model is
    left as it is, BatchNorm's statistics included: a copy runs.
    """
    with torch.no_grad(), _layer_by_layer(), FlopCounterMode(display=False) as counter:
        _answer(copy.deepcopy(model), inputs)
    return counter.get_total_flops()


@contextlib.contextmanager
def _layer_by_layer():
    """In eval mode torch runs attention, or a whole layer of it, as one operation, in which its counter sees none."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def training_flops(model: nn.Module, inputs: Tensor) -> int:
    """The same for a forward and a backward on ``inputs`` ``[B, ...]``: what a training step multiplies and adds."""
    with FlopCounterMode(display=False) as counter:
        models.logits(copy.deepcopy(model), inputs).sum().backward()
    return counter.get_total_flops()


def kept_for_backward(function: Callable, *arguments: Any, without: Iterable[Tensor] = ()) -> int:
    """How many bytes torch sets aside for a backward pass while ``function(*arguments)`` runs.

    Memory of the tensors ``without``, of any shape ``[...]``, is not counted.
    """
    known = {tensor.untyped_storage().data_ptr() for tensor in without}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        function(*arguments)
    return sum(kept.values())


def activation_bytes(model: nn.Module, inputs: Tensor) -> int:
    """Activation memory, in bytes, of a training step on ``inputs`` ``[B, ...]``: what is kept between forward and
    backward, weights left out.

    It grows with the batch, where the parameters do not. The model is left as it is: a copy in train mode runs.
    """
    model = copy.deepcopy(model).train()
    return kept_for_backward(model, inputs, without=[*model.parameters(), *model.buffers()])


class Spread(NamedTuple):
    """Numbers measured in rounds, one each: ``values``; their ``median``, ``quartiles`` and ``outliers``."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The ends of the middle half."""
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    @property
    def outliers(self) -> tuple[float, ...]:
        """Values farther from the middle half than one and a half times its width (Tukey's fences)."""
        low, high = self.quartiles
        width = 1.5 * (high - low)
        return tuple(value for value in self.values if not low - width <= value <= high + width)


class Latency(Spread):
    """Seconds a call."""

    def __str__(self):
        low, high = self.quartiles
        aside = len(self.outliers)
        outliers = f"; {aside} of {len(self.values)} rounds outliers" if aside else ""
        return f"{1000 * self.median:.2f} ms (middle half {1000 * low:.2f} to {1000 * high:.2f}{outliers})"


class Ratio(NamedTuple):
    """How many times as long as another a call takes: ``spread``. Beside it the other against itself: ``noise``."""

    spread: Spread
    noise: Spread

    @property
    def shown(self) -> bool:
        """Whether the middle half of the rounds lies beyond all that the noise gave."""
        low, high = self.spread.quartiles
        return low > max(self.noise.values) or high < min(self.noise.values)

    def at_most(self, limit: float) -> bool | None:
        """Whether the call takes at most ``limit`` times as long; None where ``limit`` lies in the middle half of the
        rounds, or where no difference is ``shown``: this clock cannot say.

        >>> quick = Ratio(Spread((0.50, 0.51, 0.52)), noise=Spread((0.9, 1.0, 1.1)))
        >>> quick.at_most(0.6), quick.at_most(0.4), quick.at_most(0.51)
        (True, False, None)
        """
        low, high = self.spread.quartiles
        return None if not self.shown or low <= limit < high else high <= limit

    def __str__(self):
        low, high = self.spread.quartiles
        least, most = min(self.noise.values), max(self.noise.values)
        said = f"{self.spread.median:.2f} times as long (middle half {low:.2f} to {high:.2f})"
        return f"{said}; noise {least:.2f} to {most:.2f}{'' if self.shown else ': no difference shown'}"


def latency(contenders: dict[Any, Callable[[], Any]], rounds: int = 11) -> dict[Any, Latency]:
    """How long each of several calls takes, in seconds: a ``Latency`` for each of ``contenders``, by name.

    They take turns, there and back, so that what slows the machine for a moment slows all of them, and nobody always
    follows the same other. Each turn begins with calls that warm up and do not count. With as many threads as torch
    uses now. On a CUDA GPU the time ends when the result is there; on MPS, which torch's timer does not wait for, only
    if the call itself does (``predicting``).

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
    times: dict[Any, list[float]] = {name: [] for name in timers}
    for number in range(rounds):
        for name in list(timers)[:: -1 if number % 2 else 1]:
            times[name].append(timers[name].timeit(calls[name]).mean)
    return {name: Latency(tuple(taken)) for name, taken in times.items()}


AGAIN = "the first again"  # among contenders: what the first is held against, to see the noise


def compare(contenders: dict[Any, Callable[[], Any]], rounds: int = 11) -> dict[Any, Ratio]:
    """How many times as long as the first of ``contenders`` the others take: a ``Ratio`` each, by name.

    ``contenders``: as ``latency`` takes them. The first has two turns a round, which gives the noise. Its own ratio is
    the noise, too. Raises ``ValueError`` as ``latency`` does.
    """
    return ratios(latency({**contenders, AGAIN: contenders[next(iter(contenders))]}, rounds))


def ratios(taken: dict[Any, Latency]) -> dict[Any, Ratio]:
    """The same from what ``latency`` gave, where the first contender stood once more under the name ``AGAIN``."""
    base = next(iter(taken))
    noise = _over(taken[AGAIN], taken[base])
    others = {name: _over(taken[name], taken[base]) for name in taken if name not in (base, AGAIN)}
    return {base: Ratio(noise, noise), **{name: Ratio(spread, noise) for name, spread in others.items()}}


def _over(one, other):
    """Ratios of two latencies, round by round."""
    return Spread(tuple(a / b for a, b in zip(one.values, other.values, strict=True)))


def _timer_class():
    """torch's timer. Its module brings in the one that builds extensions, which warns where CUDA's compiler is found
    but no GPU; nobody who measures a network needs to read that."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from torch.utils.benchmark import Timer

    return Timer


def load() -> str:
    """How busy the machine has been in the last minute, for reports: programs that want to compute, such as "1.9".

    "unknown" where the system does not say (Windows).
    """
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def predicting(model: nn.Module, inputs: Tensor | Mapping[str, Tensor]) -> Callable[[], Any]:
    """A call for ``latency``: ``model``, in eval mode and without gradient, on ``inputs``.

    ``inputs``: what the model takes, ``[B, ...]``, or uint8 images ``[B, C, H, W]``, which become what the course's
    networks take. A mapping (a tokenizer's batch) is handed over by name.
    """
    model.eval()
    device = models.device_of(model)
    if isinstance(inputs, Mapping):
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
    else:
        inputs = models.as_input(inputs, device) if inputs.dtype == torch.uint8 else inputs.to(device)

    @torch.inference_mode()
    def predict():
        answer = _answer(model, inputs)
        if device.type == "mps":
            torch.mps.synchronize()
        return answer

    return predict


def _answer(model, inputs):
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)
