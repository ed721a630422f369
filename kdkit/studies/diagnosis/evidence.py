"""What a diagnosis looks at: both networks' answers on a sample of the data, asked once; and what the run says."""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from kdkit import losses, models
from kdkit.data.images import ImageSet, Splits
from kdkit.data.seeds import generator
from kdkit.losses.arguments import INTEGERS, check_temperature, described
from kdkit.measure import metrics
from kdkit.studies.diagnosis.part import BATCH, Part, Unchecked
from kdkit.studies.diagnosis.remedies import AS_GIVEN, BY_THE_BATCH, remedies
from kdkit.training.images import DEFAULTS
from kdkit.training.loop import Loader
from kdkit.training.state import Run
from kdkit.training.step import Batch

NETWORKS = "teacher", "student"
LOOKED_AT = 500  # samples of each part: an accuracy of so many is within 4 points, and most faults cost tens
TRIED = 200  # samples that each remedy is tried on
GAIN = 0.1  # an accuracy that rises by so much is no luck: of 200 samples, three standard errors at most


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

    def targets(self, part: Part, temperature: float | None = None) -> Tensor:
        """The teacher's soft targets ``[N, C]`` at the run's temperature, or another."""
        return (part.teacher.double() / (temperature or self.temperature)).softmax(1)

    @functools.cached_property
    def agreement(self) -> float:
        """How often student and teacher give the same answer, on the validation data. Raises ``Unchecked``."""
        if self.val.student.shape != self.val.teacher.shape:
            raise Unchecked("the two networks' outputs differ in width")
        return metrics.agreement(self.val.student, self.val.teacher)

    @functools.cached_property
    def remedies(self) -> dict[str, dict[str, float]]:
        """Of each network's name a dict: how often it would be right by which change."""
        few = self.val.smaller(TRIED)
        return {name: remedies(few, getattr(self, name), enough=1 - GAIN) for name in NETWORKS}

    def remedy(self, name: str) -> str:
        """What makes the network of this name right far more often; else ``AS_GIVEN``.

        Inputs of the right kind come first: the statistics of the batch mend wrong ones too, or nearly.
        """
        reached = self.remedies[name]
        best = max(reached, key=lambda way: reached[way] - (GAIN / 2 if way == BY_THE_BATCH else 0))
        worth = reached[best] - reached[AS_GIVEN] > GAIN and reached[best] > 2 * self.luck
        return best if worth else AS_GIVEN

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
    for name, network in ("student", student), ("teacher", teacher):
        models.check_network(name, network)
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
    settings = {} if run is None else run.settings
    given = {"temperature": temperature, "soft_weight": soft_weight, "hard_weight": hard_weight}
    known = {name: value for name, value in settings.items() if name in DEFAULTS and value is not None}
    chosen = {**DEFAULTS, **known, **{name: value for name, value in given.items() if value is not None}}
    soft, hard = losses.resolve_weights(chosen["soft_weight"], chosen["hard_weight"], have_labels=True)
    temperature = check_temperature(chosen["temperature"])
    return Evidence(student, teacher, train, val, splits, run, cache, temperature, soft, hard)


def _sample(part, device) -> list[Batch]:
    """At most ``LOOKED_AT`` samples of an ``ImageSet``, a ``DataLoader`` or another iterable of batches."""
    with models.seeded(0):  # what a loader or its data set draws; the user's own generators stay as they are
        if isinstance(part, ImageSet):
            return _of_images(part, device)
        if isinstance(part, DataLoader) and hasattr(part.dataset, "__len__") and part.batch_sampler is not None:
            return _of_dataset(part, device)
        found: list[Batch] = []
        for batch in Loader(part, device).epoch(0):
            found.append(_labelled(batch))
            if sum(len(batch.labels) for batch in found) >= LOOKED_AT:
                break
    if not found:
        raise ValueError("a loader gives no batch: there is nothing to look at.")
    return found


def _drawn(count):
    return torch.randperm(count, generator=generator(0))[:LOOKED_AT]


def _of_images(images, device):
    chosen = _drawn(len(images)).split(BATCH)
    return [Batch(models.as_input(images.images[i], device), images.labels[i].to(device), image=i) for i in chosen]


def _of_dataset(loader, device):
    """Drawn from all: the first of a folder are of one class."""
    chosen = _drawn(len(loader.dataset))
    again = DataLoader(Subset(loader.dataset, chosen.tolist()), batch_size=BATCH, collate_fn=loader.collate_fn)
    batches = [_labelled(batch) for batch in Loader(again, device).epoch(0)]
    return [batch._replace(image=image) for batch, image in zip(batches, chosen.split(BATCH), strict=True)]


def _can_be_read(part):
    return isinstance(part, ImageSet) or (hasattr(part, "__iter__") and not isinstance(part, Tensor | str))


def _labelled(batch):
    if not isinstance(batch.labels, Tensor) or batch.labels.dtype not in INTEGERS:
        got = described(batch.labels)
        raise ValueError(f"batches must hold whole numbers as labels (-100 where there is none); got {got}.")
    return batch
