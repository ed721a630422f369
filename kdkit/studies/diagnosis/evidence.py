"""What a diagnosis looks at: both networks' answers on a sample of the data, asked once; and what the run says."""

import contextlib
import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from kdkit import losses, models
from kdkit.data.images import ImageSet, Splits
from kdkit.data.seeds import generator
from kdkit.losses.arguments import INTEGERS, check_temperature, described
from kdkit.measure import metrics
from kdkit.studies.diagnosis.part import BATCH, Part, Unchecked
from kdkit.studies.diagnosis.remedies import AS_GIVEN, BY_THE_BATCH, remedies
from kdkit.training.batch import Batch
from kdkit.training.images import DEFAULTS
from kdkit.training.loop import Loader
from kdkit.training.state import Run

NETWORKS = "teacher", "student"
LOOKED_AT = 500  # samples of each part: an accuracy of so many is within 4 points, and most faults cost tens
MOST_NUMBERS = 25_000_000  # in the images of a part, 100 MB: of large ones fewer are looked at
TRIED = 200  # samples that each remedy is tried on
GAIN, ERRORS = 0.1, 3  # an accuracy that rises by so much, and by so many standard errors, is no luck


@dataclass(eq=False)
class Evidence:
    """All that a check may look at. ``splits`` is None where only loaders were given."""

    student: nn.Module
    teacher: nn.Module
    train: Part
    val: Part
    splits: Splits | None
    run: Run | None
    cache: Any
    temperature: float
    soft_weight: float
    hard_weight: float

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, as far as they are known."""
        return self.splits.train.classes if self.splits else ()

    def name_of(self, number: int) -> str:
        """What class ``number`` is called."""
        return self.classes[number] if number < len(self.classes) else f"class {number}"

    def targets(self, part: Part) -> Tensor:
        """The teacher's soft targets ``[N, C]`` at the run's temperature."""
        return (part.teacher.double() / self.temperature).softmax(1)

    @functools.cached_property
    def agreement(self) -> float:
        """How often student and teacher give the same answer, on the validation data. Raises ``Unchecked``."""
        if self.val.student.shape != self.val.teacher.shape:
            raise Unchecked("the two networks' outputs differ in width")
        return metrics.agreement(self.val.student, self.val.teacher)

    @functools.cached_property
    def remedies(self) -> dict[str, dict[str, Tensor]]:
        """Of each network's name a dict: on which samples it would be right by which change, 0 or 1 each, ``[N]``."""
        few = self.val.smaller(TRIED)
        return {name: remedies(few, getattr(self, name), enough=1 - GAIN) for name in NETWORKS}

    def right(self, name: str, way: str) -> float:
        """How often the network of this name is right by this change."""
        return self.remedies[name][way].mean().item()

    def remedy(self, name: str) -> str:
        """What makes the network of this name right far more often; else ``AS_GIVEN``.

        Inputs of the right kind come first: the statistics of the batch mend wrong ones too, or nearly.
        """
        ways = self.remedies[name]
        best = max(ways, key=lambda way: self.right(name, way) - (GAIN / 2 if way == BY_THE_BATCH else 0))
        turned = ways[best] - ways[AS_GIVEN]  # [N], 0 where nothing changes
        luck = ERRORS * turned.abs().sum().sqrt().item() / len(turned)
        knows = min(2 * self.luck, (1 + self.luck) / 2)  # of two classes, twice the luck is more than 1
        return best if turned.mean() > max(GAIN, luck) and self.right(name, best) > knows else AS_GIVEN

    @functools.cached_property
    def luck(self) -> float:
        """The accuracy below which a network may know nothing of the validation data."""
        return metrics.guessing(self.val.labels)


def gather(
    student: nn.Module,
    teacher: nn.Module,
    data: Any,
    run: Run | None,
    cache: Any,
    temperature: float | None,
    soft_weight: float | None,
    hard_weight: float | None,
) -> Evidence:
    """The evidence for the arguments of ``diagnose``. Raises ``ValueError`` as that does."""
    splits = data if isinstance(data, Splits) else None
    parts = (data.train, data.val) if splits else data
    if not isinstance(parts, tuple | list) or len(parts) != 2 or not all(_can_be_read(part) for part in parts):
        raise ValueError(f"data must be Splits, or a pair of loaders (train, val); got {type(data).__name__}.")
    if run is not None and not isinstance(run, Run):
        raise ValueError(f"run must be what kdkit.train returns, or None; got {type(run).__name__}.")
    device = models.device_of(student)
    train, val = (
        Part(name, _sample(part, device), student, teacher) for name, part in zip(("train", "val"), parts, strict=True)
    )
    _check_shape(train.batches[0], teacher)
    settings = {} if run is None else run.settings
    given = {"temperature": temperature, "soft_weight": soft_weight, "hard_weight": hard_weight}
    known = {name: value for name, value in settings.items() if name in DEFAULTS and value is not None}
    chosen = {**DEFAULTS, **known, **{name: value for name, value in given.items() if value is not None}}
    soft, hard = losses.resolve_weights(chosen["soft_weight"], chosen["hard_weight"], have_labels=True)
    temperature = check_temperature(chosen["temperature"])
    return Evidence(student, teacher, train, val, splits, run, cache, temperature, soft, hard)


def _sample(part, device) -> list[Batch]:
    """At most ``LOOKED_AT`` samples of an ``ImageSet``, a ``DataLoader`` or another iterable of batches."""
    if isinstance(part, ImageSet):
        most = max(BATCH, MOST_NUMBERS // math.prod(part.images.shape[1:]))
        found = [
            Batch(models.as_input(part.images[i], device), part.labels[i].to(device), image=i)
            for i in _drawn(torch.arange(len(part)), most)
        ]
    elif _has_sampler(part):
        found = _of_sampler(part, device)
    else:
        found = _first(Loader(part, device))
    if not found:
        raise ValueError("a loader gives no batch: there is nothing to look at.")
    return found


def _drawn(numbers, most=LOOKED_AT):
    """At most ``most`` of ``numbers``, in batches of about the same size: BatchNorm takes no batch of one."""
    chosen = numbers[torch.randperm(len(numbers), generator=generator(0))[: min(most, LOOKED_AT)]]
    return chosen.chunk(-(-len(chosen) // BATCH)) if len(chosen) else []


def _has_sampler(part):
    own = isinstance(part, DataLoader) and not isinstance(part.dataset, IterableDataset)
    return own and part.batch_size is not None and hasattr(part.dataset, "__len__")  # None: batches of the user's own


def _of_sampler(loader, device):
    """Drawn from all that the loader's sampler gives: the first of a folder are of one class."""
    source = getattr(loader.sampler, "generator", None)
    state = None if source is None else source.get_state()
    given = sorted(itertools.islice(loader.sampler, len(loader.dataset)))  # some samplers never end
    if source is not None:
        source.set_state(state)
    chosen = _drawn(torch.tensor(given, dtype=torch.int64))
    again = DataLoader(loader.dataset, batch_sampler=[i.tolist() for i in chosen], collate_fn=loader.collate_fn)
    batches = (_labelled(batch) for batch in Loader(again, device).epoch(0))
    return [batch._replace(image=image) for batch, image in zip(batches, chosen, strict=True)]


def _first(loader):
    found: list[Batch] = []
    for batch in loader.epoch(0):
        found.append(_labelled(batch))
        if sum(len(batch.labels) for batch in found) >= LOOKED_AT:
            break
    return found


def _check_shape(batch, teacher):
    """Refuse labels that fit no answer: nothing could be checked, and "nothing found" would sound like health."""
    logits = None
    with contextlib.suppress(ValueError), models.evaluating(teacher), torch.no_grad():
        logits = models.logits(teacher, batch.inputs)
    if logits is not None and logits.ndim == 2 and batch.labels.ndim != 1:
        raise ValueError(
            f"labels must be one class number a sample, [B], for logits {list(logits.shape)}; got "
            f"{list(batch.labels.shape)}. Of one-hot labels take labels.argmax(1), of a column labels.squeeze(1)."
        )


def _can_be_read(part):
    return isinstance(part, ImageSet) or (hasattr(part, "__iter__") and not isinstance(part, Tensor | str))


def _labelled(batch):
    if not isinstance(batch.labels, Tensor) or batch.labels.dtype not in INTEGERS:
        got = described(batch.labels)
        raise ValueError(f"batches must hold whole numbers as labels (-100 where there is none); got {got}.")
    return batch
