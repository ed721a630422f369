"""What a cache keeps of a teacher's answer: all its numbers, or the k likeliest classes in half precision.

Either way an entry is so many whole words of four bytes, int32, as ``rows`` keeps them.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdkit import losses
from kdkit.losses.arguments import check_temperature, whole

WORD = 4  # bytes


class Dense:
    """Every output in float32, one after another.

    ``shapes``: of each output for one image, by name. ``about`` is what a cache's header says of it, ``width`` the
    words of an entry.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.width = sum(map(math.prod, shapes.values()))
        self.about = {"outputs": {name: list(shape) for name, shape in shapes.items()}, "dtype": "float32"}

    def packed(self, outputs: dict[str, Tensor]) -> Tensor:
        """Outputs ``[N, ...]`` by name, in the order of ``shapes``, as entries: int32 ``[N, width]``."""
        return torch.cat([output.flatten(1) for output in outputs.values()], 1).contiguous().view(torch.int32)

    def outputs(self, bits: Tensor) -> dict[str, Tensor]:
        """Entries, int32 ``[N, width]``, as outputs ``[N, ...]`` by name."""
        parts = bits.view(torch.float32).split([math.prod(shape) for shape in self.shapes.values()], 1)
        named = zip(self.shapes.items(), parts, strict=True)
        return {name: part.reshape(len(part), *shape) for (name, shape), part in named}

    def logits(self, bits: Tensor) -> Tensor:
        """The logits ``[N, C]`` of entries, int32 ``[N, width]``."""
        return self.outputs(bits)["logits"]

    def difference(self, bits: Tensor, fresh: dict[str, Tensor]) -> Tensor:
        """How far entries lie from outputs ``[N, ...]`` that are ``fresh``, relative to the largest number: ``[N]``."""
        differences = torch.zeros(len(bits))
        kept = self.outputs(bits)
        for name, found in fresh.items():
            off = (kept[name] - found).flatten(1).abs().amax(1) / found.abs().max().clamp(min=1)  # [N]
            differences = torch.maximum(differences, off.nan_to_num(nan=torch.inf))
        return differences


class Truncated:
    """Of the logits the ``k`` likeliest of so many ``classes``: ``losses.top_k`` at one temperature, in half precision.

    Outputs: "log_probabilities" float32 and "indices" int64 ``[N, k]``, the likeliest first; and the "temperature"
    ``()`` that they hold for, since what was left out counts in the softmax. ``about`` and ``width`` as of ``Dense``.
    """

    def __init__(self, classes: int, k: int, temperature: float) -> None:
        self.classes, self.k, self.temperature = classes, k, temperature
        self.width = truncated_width(classes, k)
        self.about = {"outputs": f"{k} of {classes} classes", "dtype": "float16", "temperature": temperature}

    def packed(self, outputs: dict[str, Tensor]) -> Tensor:
        """Entries, int32 ``[N, width]``, of the "logits" ``[N, C]`` in outputs: values, then indices, then zeros."""
        top = losses.top_k(outputs["logits"], self.k, self.temperature)
        content = torch.cat([_bytes(top.log_probabilities.half()), _bytes(self._small(top.indices))], 1)
        return F.pad(content, (0, WORD * self.width - content.shape[1])).view(torch.int32)

    def outputs(self, bits: Tensor) -> dict[str, Tensor]:
        """Entries, int32 ``[N, width]``, as "log_probabilities", "indices" and "temperature"."""
        content, kind = bits.contiguous().view(torch.uint8), _index_type(self.classes)
        values, indices, _ = content.tensor_split((2 * self.k, (2 + kind.itemsize) * self.k), 1)
        numbers = indices.contiguous().view(kind).long()
        return {
            "log_probabilities": values.contiguous().view(torch.float16).float(),
            "indices": numbers & 0xFFFF if kind == torch.int16 else numbers,
            "temperature": torch.tensor(self.temperature, dtype=torch.float64),
        }

    def logits(self, bits: Tensor) -> Tensor:
        """Logits ``[N, C]`` that entries, int32 ``[N, width]``, leave possible: the classes that were not kept share
        what is left alike."""
        found = self.outputs(bits)
        known = found["log_probabilities"]
        left = (-known.logsumexp(1, keepdim=True).expm1()).clamp(min=0.0) / (self.classes - self.k)
        whole = left.log().expand(-1, self.classes).scatter(1, found["indices"], known)
        return self.temperature * whole

    def difference(self, bits: Tensor, fresh: dict[str, Tensor]) -> Tensor:
        """How far entries lie from "logits" ``[N, C]`` that are ``fresh``, in log-probabilities, relative: ``[N]``.

        Less what half precision has rounded. The kept classes are compared, and the kept values with the k largest.
        """
        found = self.outputs(bits)
        kept, largest = found["log_probabilities"], losses.top_k(fresh["logits"], self.k, self.temperature)
        valid = (found["indices"] < self.classes).all(1)
        indices = found["indices"].clamp(max=self.classes - 1)
        same = (fresh["logits"] / self.temperature).log_softmax(1).gather(1, indices)
        off = torch.maximum(_apart(kept, same), _apart(kept, largest.log_probabilities)).amax(1)
        return off.nan_to_num(nan=torch.inf).masked_fill(~valid, torch.inf)

    def _small(self, indices):
        return indices.to(torch.int32).to(_index_type(self.classes))  # int16 wraps round, and outputs takes it back


def layout(
    shapes: dict[str, tuple[int, ...]], classes: int, k: int | None = None, temperature: float | None = None
) -> Dense | Truncated:
    """How entries are laid out whose outputs are of these ``shapes``, of all ``classes`` or of the ``k`` likeliest.

    Raises ``ValueError`` where ``k`` or ``temperature`` is no such number, or one is given without the other; and for
    outputs beside the logits with ``k``.
    """
    if k is None:
        if temperature is not None:
            raise ValueError(f"temperature={temperature!r} means nothing without k: all logits hold for any.")
        return Dense(shapes)
    k = whole(k, "k", 1, classes, "It is how many of the logits are kept.")
    if temperature is None:
        raise ValueError(f"k={k} needs a temperature, that of the loss: what is left out counts in the softmax.")
    temperature = check_temperature(temperature)
    more = ", ".join(name for name in shapes if name != "logits")
    if more:
        raise ValueError(f"k={k} keeps logits alone, and the teacher also answers with {more}. Leave k out.")
    return Dense(shapes) if k == classes else Truncated(classes, k, temperature)


def truncated_width(classes: int, k: int) -> int:
    """Words of an entry that keeps ``k`` of ``classes`` logits: two bytes a value, one, two or four an index.

    >>> truncated_width(1000, 20) * WORD, truncated_width(10, 3) * WORD
    (80, 12)
    """
    return -(-k * (2 + _index_type(classes).itemsize) // WORD)


def target(outputs: dict[str, Tensor], temperature: float) -> Tensor | losses.TopK:
    """What a loss of logits learns from: the "logits" ``[..., C]`` of a teacher's outputs, or what was kept of them.

    Raises ``ValueError`` where what was kept holds for another temperature.
    """
    if "log_probabilities" not in outputs:
        return outputs["logits"]
    kept = outputs["temperature"].item()
    if kept != temperature:
        raise ValueError(
            f"the cache keeps the teacher's likeliest classes at temperature {kept:g}, and the loss is at "
            f"{temperature:g}: what was left out cannot be softened afterwards. Give both the same, or leave k out."
        )
    return losses.TopK(outputs["log_probabilities"], outputs["indices"])


def _index_type(classes):
    return torch.uint8 if classes <= 2**8 else torch.int16 if classes <= 2**16 else torch.int32


def _bytes(numbers):
    return numbers.contiguous().view(torch.uint8)


def _apart(kept, found):
    """|kept - found| less a unit in the last place of half precision, relative to numbers above 1; 0 where both are
    -inf."""
    rounding = torch.finfo(torch.float16).eps * found.abs() + torch.finfo(torch.float16).smallest_normal
    off = ((kept - found).abs() - rounding).clamp(min=0.0) / found.abs().clamp(min=1.0)
    return off.masked_fill(kept == found, 0.0)
