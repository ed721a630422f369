"""Images and labels as plain tensors, and the three splits that a fair experiment needs."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from kdkit.data.seeds import generator
from kdkit.data.streaming import StreamedImages
from kdkit.data.views import Views
from kdkit.losses.arguments import whole

LEARNABLE = 20  # images of a class; with fewer a network learns the pictures, not the class
JUDGEABLE = 100  # images to validate or to test
IMBALANCED = 5  # times as many images of the commonest class as of the rarest
VALIDATION_SEED = 0  # which images are held out for validation is fixed: it is part of the data, not of a run


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with labels.

    Parameters: ``images`` uint8 ``[N, C, H, W]``, or ``StreamedImages``, which stay on disk; ``labels`` int64 ``[N]``,
    numbers into ``classes``; ``classes``, a tuple of names; ``name``, what the images are ("cifar10", "things", ...).

    Raises ``ValueError`` where these do not fit each other.
    """

    images: Tensor  # or StreamedImages: as much of a tensor as training and measuring need
    labels: Tensor
    classes: tuple[str, ...]
    name: str = "images"

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", _checked_classes(self.classes))
        _check_text("name", self.name)
        _check_images(self.images)
        _check_labels(self.labels, len(self.images), self.classes)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[1:]))
        return f"ImageSet({self.name!r}: {len(self):,} images of {size}, {len(self.classes)} classes)"

    def subset(self, index: Tensor | slice) -> "ImageSet":
        """The images at ``index`` (a tensor ``[n]`` of int64 or bool, or a slice)."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def sample(self, count: int, *, seed: int = 0) -> "ImageSet":
        """At most ``count`` of the images, in an order drawn from ``seed``.

        For statistics: the first images of a folder are all of one class. Raises ``ValueError`` if ``count`` is no
        whole number from 1, or ``seed`` none at all.
        """
        count = whole(count, "count", 1)
        return self.subset(torch.randperm(len(self), generator=generator(seed))[:count])

    def without(self, name: str) -> "ImageSet":
        """All images but those of class ``name``. The class keeps its number: a network still has a place for it.

        Raises ``ValueError`` for a name that is no class.
        """
        return self.subset(self.labels != self.number(name))

    def number(self, name: str) -> int:
        """The label of class ``name``. Raises ``ValueError`` for a name that is no class."""
        if name not in self.classes:
            raise ValueError(f"there is no class {name!r}; choose one of {', '.join(map(str, self.classes))}.")
        return self.classes.index(name)

    @property
    def fingerprint(self) -> str:
        """A short hash of shape and pixels: a cache of teacher logits belongs to these images, in this order."""
        if isinstance(self.images, StreamedImages):
            return self.images.fingerprint
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        digest.update(self.images.contiguous().numpy(force=True).data)
        return digest.hexdigest()[:16]

    @property
    def labels_fingerprint(self) -> str:
        """A short hash of the labels: a training belongs to them too, a cache of teacher logits does not."""
        return hashlib.sha256(self.labels.contiguous().numpy(force=True).data).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Splits:
    """``train`` to learn from, ``val`` to choose by, ``test`` to report; and the ``views`` that training may use.

    ``source`` says where the data came from, for reports; ``notes`` what is odd about it, in sentences. Raises
    ``ValueError`` where the parts are no ``ImageSet`` or differ in classes or sizes of images.
    """

    train: ImageSet
    val: ImageSet
    test: ImageSet
    views: Views = field(default_factory=Views)
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in "train", "val", "test":
            if not isinstance(getattr(self, part), ImageSet):
                raise ValueError(f"{part} must be an ImageSet; got {type(getattr(self, part)).__name__}.")
            _check_alike(part, getattr(self, part), self.train)
        if not isinstance(self.views, Views):
            raise ValueError(f"views must be Views(flip, shift); got {type(self.views).__name__}.")
        _check_text("source", self.source)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part} {len(getattr(self, part)):,}" for part in ("train", "val", "test"))
        return f"Splits({self.name!r}: {sizes})"

    @property
    def name(self) -> str:
        """What the training images are."""
        return self.train.name

    def without(self, name: str) -> "Splits":
        """The same splits without class ``name`` where a student learns and is watched; ``test`` keeps it.

        Raises ``ValueError`` for a name that is no class.
        """
        return replace(self, train=self.train.without(name), val=self.val.without(name))

    def first(self, images: int) -> "Splits":
        """The same splits with only the first ``images`` of a fixed shuffle of the training images.

        Raises ``ValueError`` if ``images`` is no whole number from 1.
        """
        return replace(self, train=self.train.sample(images, seed=VALIDATION_SEED))


def check_splits(data: object) -> None:
    """Raises ``ValueError`` unless ``data`` is a ``Splits``."""
    if not isinstance(data, Splits):
        raise ValueError(
            f"data must be Splits (train, val, test), as kdkit.data gives them; got {type(data).__name__}."
        )


def same_images(splits: Splits, data: Splits) -> Splits:
    """``splits``, if they hold the images of ``data`` at another size, as far as labels and views tell; ``ValueError``
    otherwise.
    """
    check_splits(splits)
    for part in "train", "val", "test":
        one, other = getattr(splits, part), getattr(data, part)
        if one.classes != other.classes or not torch.equal(one.labels, other.labels):
            raise ValueError(
                f"the same images at another size were expected, in the same order; {part} is {one!r}, and differs in "
                f"classes or labels from {other!r}."
            )
    if (splits.views.flip, splits.views.shift) != (data.views.flip, data.views.shift):
        raise ValueError(f"the same views were expected but for their step, {data.views}; got {splits.views}.")
    return splits


def describe(splits: Any, what: str = "images") -> list[str]:
    """What is about to be learnt from, and what is too little in it, in sentences.

    ``splits``: ``Splits``, or ``TextSplits`` with "texts" for ``what`` there is.
    """
    parts = {"to train": splits.train, "to validate": splits.val, "to test": splits.test}
    lines = [
        f"{splits.name}: {len(splits.train.classes)} classes: {', '.join(map(str, splits.train.classes))}",
        f"from {splits.source}" if splits.source else "",
        f"{what} " + ", ".join(f"{part}: {len(some):,} ({_per_class(some)} a class)" for part, some in parts.items()),
    ]
    scarce = [
        *_too_few_to_learn(splits.train, what),
        *_too_few_to_judge(parts, what),
        *_imbalance(splits.train, what),
    ]
    return [line for line in [*lines, *splits.notes, *scarce] if line]


def counts(splits: Any) -> dict[str, dict[str, int]]:
    """How many samples of each class ``splits`` have in "train", "val" and "test": a dict each, by class."""
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    by_part = {name: torch.bincount(part.labels, minlength=len(part.classes)).tolist() for name, part in parts.items()}
    return {
        name: {part: numbers[label] for part, numbers in by_part.items()}
        for label, name in enumerate(splits.train.classes)
    }


def _imbalance(train, what):
    numbers = torch.bincount(train.labels, minlength=len(train.classes))
    some = numbers[numbers > 0]
    if len(some) and int(some.max()) >= IMBALANCED * int(some.min()):
        most, least = int(numbers.argmax()), int(torch.where(numbers > 0, numbers, numbers.max()).argmin())
        share = int(numbers.max()) / len(train)
        yield (
            f"Imbalanced: {int(numbers[most]):,} {what} of {train.classes[most]} to train, {int(numbers[least]):,} of "
            f"{train.classes[least]}. Who always says {train.classes[most]} is right on {share:.0%} of such {what}: "
            f"judge by each class's own share of right answers, and give more {what} of the rare ones."
        )


def _per_class(samples):
    counts = torch.bincount(samples.labels, minlength=len(samples.classes))
    least, most = int(counts.min()), int(counts.max())
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _too_few_to_learn(train, what):
    counts = torch.bincount(train.labels, minlength=len(train.classes)).tolist()
    few = [f"{name} ({count})" for name, count in zip(train.classes, counts, strict=True) if count < LEARNABLE]
    if not few:
        return []
    listed = ", ".join(few[:10]) + (f" and {len(few) - 10} more" if len(few) > 10 else "")
    return [
        f"Too few {what} left to learn a class from: {listed}. Give at least {LEARNABLE} of each beside those held "
        "out, better hundreds, or leave the class out."
    ]


def _too_few_to_judge(parts, what):
    """An accuracy p of n samples has a standard error of sqrt(p (1 - p) / n): two of them are 1 / sqrt(n) at most."""
    for part, samples in list(parts.items())[1:]:
        if len(samples) < JUDGEABLE:
            points = 100 / max(1, len(samples)) ** 0.5
            yield (
                f"Too few {what} {part}: with {len(samples)} an accuracy can be off by {points:.0f} points by chance. "
                f"Give more: {JUDGEABLE} make it {100 / JUDGEABLE**0.5:.0f}."
            )


class Labelled(Protocol):
    """Samples with labels, such as an ``ImageSet``."""

    @property
    def labels(self) -> Tensor:
        """int64 ``[N]``."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names."""
        ...

    def __len__(self) -> int: ...

    def subset(self, index: Any) -> Any:
        """The samples at ``index``, a tensor ``[n]`` of bool."""
        ...


Samples = TypeVar("Samples", bound=Labelled)


def hold_out(samples: Samples, count: int) -> tuple[Samples, Samples]:
    """Split samples in two: the rest, and about ``count`` of them, each class in its share."""
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(VALIDATION_SEED))
    by_class = [order[samples.labels[order] == label] for label in range(len(samples.classes))]
    quotas = _quotas([len(members) for members in by_class], count)
    held = torch.cat([members[:quota] for members, quota in zip(by_class, quotas, strict=True)])
    kept = torch.ones(len(samples), dtype=torch.bool)
    kept[held] = False
    return samples.subset(kept), samples.subset(held)


def _quotas(sizes, count):
    """How many to take of classes of these ``sizes``: equal shares, rounded so that they add up to ``count``."""
    total = sum(sizes)
    quotas = [size * count // total for size in sizes]
    by_remainder = sorted(range(len(sizes)), key=lambda label: sizes[label] * count % total, reverse=True)
    for label in by_remainder[: count - sum(quotas)]:
        quotas[label] += 1
    return quotas


def _checked_classes(classes):
    try:
        names = () if isinstance(classes, str) else tuple(classes)
    except TypeError:
        names = ()
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"classes must be the names of the classes, a tuple of texts; got {classes!r}.")
    return names


def _check_text(name, value):
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text; got {value!r}.")


def _check_alike(part, images, train):
    if images.classes != train.classes or images.images.shape[1:] != train.images.shape[1:]:
        raise ValueError(f"all parts must be of the same classes and sizes; {part} is {images!r}, train {train!r}.")


def _dense(value):
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta


def _check_images(images):
    if isinstance(images, StreamedImages):
        return
    if not _dense(images) or images.dtype != torch.uint8 or images.ndim != 4:
        got = f"{images.dtype} of shape {tuple(images.shape)}" if _dense(images) else type(images)
        raise ValueError(f"images must be a uint8 tensor [N, C, H, W] (0 is black, 255 white); got {got}.")


def _check_labels(labels, count, classes):
    if not _dense(labels) or labels.dtype != torch.int64 or labels.shape != (count,):
        got = f"{labels.dtype} of shape {tuple(labels.shape)}" if _dense(labels) else type(labels)
        raise ValueError(f"labels must be an int64 tensor [{count}], one label an image; got {got}.")
    if count and not (int(labels.min()) >= 0 and int(labels.max()) < len(classes)):
        raise ValueError(
            f"labels must lie in 0..{len(classes) - 1}, since {len(classes)} classes are named; "
            f"got {int(labels.min())}..{int(labels.max())}."
        )
