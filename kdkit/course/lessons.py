"""The lessons of the study of failures: by setting and arm, what a student learns from and how.

``benchmarks/failures.py`` trains them all, tuned and with seeds; a single one can be trained in seconds.

>>> lesson = SETTINGS["views"].arms["another view"](0)
>>> student = train(lesson, steps=12).student
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kdkit import data, models, training, zoo
from kdkit.course import failures
from kdkit.data import things
from kdkit.data.images import ImageSet, Splits
from kdkit.data.views import Views

SEEDS = {"train": 71, "val": 72, "test": 73, "teacher": 75, "transfer": 76}
PER_CLASS = {"val": 50, "test": 200}
WRONG = 1000  # images of another kind
_VIEWS = Views(flip=True, shift=2)


class Lesson(NamedTuple):
    """What a student learns from, and how; ``peer``: whose answers its own are compared with, its teacher's if None."""

    data: Splits
    loss: training.Loss
    teacher: nn.Module | None = None
    cache: Any = None
    peer: nn.Module | None = None


Teach = Callable[[int], Lesson]  # of a seed
Make = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Setting:
    """Arms, each a function of the seed to a ``Lesson``; after how many ``steps`` they end, ``checks`` in between."""

    arms: Mapping[str, Teach]
    steps: int = 480
    seeds: int = 5
    student: tuple[int, int] = failures.STUDENT
    checks: tuple[int, ...] = ()
    teachers: Mapping[str, Make] = field(default_factory=dict)
    taught: Callable[[int], Splits] | None = None  # the images that the teachers learnt from


def train(
    lesson: Lesson,
    steps: int,
    *,
    student: tuple[int, int] = failures.STUDENT,
    lr: float = failures.RATE,
    seed: int = 0,
    validate: Callable[[nn.Module], dict] | None = None,
) -> training.Run:
    """The student, of this width and depth, that one lesson makes in so many ``steps`` of 25 images."""
    network = models.student(*student, classes=len(lesson.data.train.classes), seed=seed)
    epochs = steps // (len(lesson.data.train) // failures.BATCH)
    how: dict[str, Any] = {"teacher": lesson.teacher, "cache": lesson.cache, "validate": validate}
    return failures.learn(network, lesson.data, lesson.loss, epochs=epochs, lr=lr, seed=seed, **how)


@functools.cache
def images(per_class: int = 30, part: str = "train", views: Views = _VIEWS) -> Splits:
    """Things to learn from, with the images to choose by and to report on that all have in common."""
    return Splits(things.make(per_class, SEEDS[part]), *judges(), views)


def two_views(splits: Splits, count: int) -> Tensor:
    """The first images as they are, then as a student sees them in its first epoch: uint8 ``[2 * count, C, H, W]``."""
    images, seen = splits.train.images[:count], splits.views
    shown = seen.take(seen.pad(images), torch.arange(count), seen.schedule(count, 0))
    return torch.cat([images, shown.mul(255).round().to(torch.uint8)])


@functools.cache
def judges() -> tuple[ImageSet, ImageSet]:
    """The images to choose by, and those to report on."""
    val, test = (things.make(PER_CLASS[part], SEEDS[part]) for part in ("val", "test"))
    return val, test


def labels(splits: Splits) -> Lesson:
    """Labels alone."""
    return Lesson(splits, training.Distillation())


def soft(splits: Splits, teacher: nn.Module, temperature: float = 4.0, hard: float = 0.0, cache: Any = None) -> Lesson:
    """Soft targets, beside labels with the weight ``hard``."""
    loss = training.Distillation(temperature, 1 - hard, hard)
    return Lesson(splits, loss, teacher, cache or kept(teacher, splits))


def of_teacher(make: Make, temperature: float = 4.0) -> Teach:
    """Soft targets of a teacher of the seed, on 300 images."""
    return lambda seed: soft(images(), make(seed), temperature)


@functools.cache
def kept(teacher: nn.Module, splits: Splits) -> training.ViewCache:
    """The teacher's answers to all these images, for all students."""
    return training.ViewCache(teacher, splits)


@functools.cache
def shipped() -> nn.Module:
    """The teacher that ships: 98.4 % of the images to report on."""
    return zoo.load("things-teacher")


@functools.cache
def trained(
    per_class: int, part: str, epochs: int, width: int = 12, smoothing: float = 0.0, seed: int = 0
) -> nn.Module:
    """A teacher of one seed; those of students' seeds begin at 100."""
    splits = images(per_class, part)
    return failures.teacher_of(splits, epochs=epochs, width=width, smoothing=smoothing, seed=100 + seed)


# 1: teachers with and without label smoothing


def plain_teacher(seed: int) -> nn.Module:
    """One that learnt from labels as they are."""
    return trained(100, "teacher", 12, seed=seed)


def smoothed_teacher(seed: int) -> nn.Module:
    """One that learnt the same images with a tenth of each label dealt out among all classes."""
    return trained(100, "teacher", 12, smoothing=0.1, seed=seed)


def smoothed(steps: int) -> Setting:
    """Students of both, at a low and at a high temperature."""
    teachers = {"plain": plain_teacher, "smoothed": smoothed_teacher}
    arms = {f"{name}, T = {T:g}": of_teacher(make, T) for name, make in teachers.items() for T in (1.0, 4.0)}
    return Setting(arms, steps, teachers=teachers, taught=lambda seed: images(100, "teacher"))


# 2: wrong images


@functools.cache
def wrong(kind: str) -> Splits:
    """1,000 images of one of ``KINDS``."""
    right = things.make(WRONG // 10, SEEDS["transfer"]).images
    found: dict[str, Callable[[], Tensor]] = {
        "Things": lambda: right,
        "chairs only": chairs,
        "colours inverted": lambda: 255 - right,
        "CIFAR-10 photographs": photographs,
        "shuffled patches": lambda: failures.shuffled_patches(right),
        "smooth noise": lambda: failures.smooth_noise(WRONG, SEEDS["transfer"]),
        "pixel noise": noise,
        "5 % Things, 95 % pixel noise": lambda: torch.cat([right[:50], noise()[50:]]),
        "20 % Things, 80 % pixel noise": lambda: torch.cat([right[:200], noise()[200:]]),
        "5 % Things, 95 % photographs": lambda: torch.cat([right[:50], photographs()[50:]]),
        "5 % Things alone": lambda: right[:50],
    }
    return failures.unlabelled(found[kind](), images())


def photographs() -> Tensor:
    """1,000 of CIFAR-10: uint8 ``[1000, 3, 32, 32]``."""
    return data.cifar10().first(WRONG).train.images


def noise() -> Tensor:
    """Pixel noise: uint8 ``[1000, 3, 32, 32]``."""
    return failures.pixel_noise(WRONG, SEEDS["transfer"])


def chairs() -> Tensor:
    """1,000 chairs: uint8 ``[1000, 3, 32, 32]``."""
    drawn = things.make(WRONG, SEEDS["transfer"])
    return drawn.images[drawn.labels == drawn.number("chair")]


def on_wrong(kind: str) -> Teach:
    """What the shipped teacher says about them."""
    return lambda seed: soft(wrong(kind), shipped())


KINDS = (
    *("Things", "CIFAR-10 photographs", "chairs only", "colours inverted", "shuffled patches", "smooth noise"),
    *("pixel noise", "5 % Things, 95 % pixel noise", "20 % Things, 80 % pixel noise"),
    *("5 % Things, 95 % photographs", "5 % Things alone"),
)


# 3: views


def viewed(shift: int, how: str) -> Teach:
    """A lesson with the shipped teacher that is asked about the view that the student sees, or about another."""

    def lesson(seed):
        splits = images(views=Views(flip=shift > 0, shift=shift))
        return soft(splits, shipped(), cache=None if how == "exact" else others(shift, how == "plain"))

    return lesson


@functools.cache
def others(shift: int, plain: bool) -> failures.OtherViews:
    """The shipped teacher, asked about other views."""
    return failures.OtherViews(shipped(), images(views=Views(flip=True, shift=shift)), plain=plain)


def views(shift: int) -> dict[str, Teach]:
    """The same view for both, or another one for the teacher."""
    return {
        "exact": viewed(shift, "exact"),
        "plain image": viewed(shift, "plain"),
        "another view": viewed(shift, "another"),
    }


VIEWS = {"labels": lambda seed: labels(images()), "no augmentation": viewed(0, "exact"), **views(2)}


# 4 to 6: teachers that know their images by heart, that err, that learnt noise


def own_teacher(seed: int) -> nn.Module:
    """One that is right about all images that its student learns from."""
    return trained(30, "train", 30, seed=seed)


def weak_teacher(seed: int) -> nn.Module:
    """One that errs often, for it has seen 200 images alone."""
    return trained(20, "teacher", 20, width=8, seed=seed)


def weakly(per_class: int = 100, temperature: float = 4.0) -> Teach:
    """A lesson from it, on images that are new to it."""
    return lambda seed: soft(images(per_class, "transfer"), weak_teacher(seed), temperature)


FIDELITY = {
    "labels": lambda seed: labels(images(100, "transfer"))._replace(peer=weak_teacher(seed)),
    "1,000 images": weakly(),
    "100 images": weakly(10),
    "3,000 images": weakly(300),
    "T = 1": weakly(temperature=1.0),
    "T = 16": weakly(temperature=16.0),
}


@functools.cache
def noisy(seed: int) -> Splits:
    """500 images, two in five with another label than their own."""
    return failures.with_noisy_labels(images(50), 0.4, seed)


@functools.cache
def noisy_teacher(seed: int) -> nn.Module:
    """One that learnt from these labels."""
    return failures.teacher_of(noisy(seed), epochs=40, seed=100 + seed)


NOISY = {
    "noisy labels": lambda seed: labels(noisy(seed)),
    "noisy teacher": lambda seed: soft(noisy(seed), noisy_teacher(seed)),
    "clean teacher": lambda seed: soft(images(50), shipped()),
    "half and half": lambda seed: soft(noisy(seed), shipped(), hard=0.5, cache=kept(shipped(), images(50))),
    "clean labels": lambda seed: labels(images(50)),
}


# 7 and 8: gap, assistant, ensembles, generations


def gap_teacher(width: int, epochs: int = 24) -> Make:
    """One for all seeds: the widest take long."""
    return lambda seed: trained(30, "train", epochs, width=width)


@functools.cache
def assistant() -> nn.Module:
    """A network of a size between the two, taught by the widest."""
    return failures.student_of(gap_teacher(32)(0), images(), epochs=40, seed=200)


GAP_TEACHERS = {f"width {width}": gap_teacher(width) for width in (4, 8, 16, 32)}
GAP_TEACHERS |= {"width 32, stopped early": gap_teacher(32, 6), "assistant": lambda seed: assistant()}
GAP = {name: of_teacher(make) for name, make in GAP_TEACHERS.items()}


@functools.cache
def ensemble(temperature: float | None) -> nn.Module:
    """Five teachers that know the images by heart, as one."""
    return failures.Ensemble([own_teacher(seed) for seed in range(5)], temperature)


@functools.cache
def twin(seed: int) -> nn.Module:
    """A network of the student's own size that learnt from labels."""
    return train(labels(images()), 480, seed=200 + seed).student


# 10: what a teacher is asked, and how it is understood


@functools.cache
def mistaken(name: str) -> nn.Module:
    """The shipped teacher behind one mistake, one of ``MISTAKES``."""
    changes = {
        "normalised twice": failures.Normalised(),
        "its middle 24 pixels only": failures.Resized(24, 24),
        "as drawn at 16 pixels": failures.Resized(32, 16),
    }
    if name == "classes in another order":
        return failures.OtherOrder(shipped())
    return failures.Given(shipped(), changes[name])


def of_mistaken(name: str) -> Teach:
    """What it says then."""
    return lambda seed: soft(images(), mistaken(name))


MISTAKES = ("classes in another order", "normalised twice", "its middle 24 pixels only", "as drawn at 16 pixels")

SETTINGS = {
    "smoothed teacher": smoothed(480),
    "smoothed teacher, few steps": smoothed(120),
    "wrong images": Setting({kind: on_wrong(kind) for kind in KINDS}, checks=(40, 120, 240)),
    "views": Setting(VIEWS),
    "views, shift 4": Setting(views(4)),
    "views, shift 8": Setting(views(8)),
    "memorised teacher": Setting(
        {
            "labels": lambda seed: labels(images()),
            "T = 1": of_teacher(own_teacher, 1.0),
            "T = 4": of_teacher(own_teacher),
        },
        teachers={"memorised": own_teacher},
        taught=lambda seed: images(),
    ),
    "fidelity": Setting(FIDELITY, teachers={"weak": weak_teacher}, taught=lambda seed: images(20, "teacher")),
    "noisy labels": Setting(NOISY, seeds=8, teachers={"noisy": noisy_teacher}, taught=noisy),
    "mistaken teacher": Setting(
        {
            "as it should be": lambda seed: soft(images(), shipped()),
            **{name: of_mistaken(name) for name in MISTAKES},
        },
        seeds=3,
    ),
    "ensembles": Setting(
        {
            "one teacher": of_teacher(own_teacher),
            "mean probabilities": of_teacher(lambda seed: ensemble(4.0)),
            "mean logits": of_teacher(lambda seed: ensemble(None)),
        },
        teachers={"mean probabilities": lambda seed: ensemble(4.0), "mean logits": lambda seed: ensemble(None)},
        taught=lambda seed: images(),
    ),
    "gap": Setting(
        {"labels": lambda seed: labels(images()), **GAP},
        student=(4, 3),
        teachers=GAP_TEACHERS,
        taught=lambda seed: images(),
    ),
    "born again": Setting(
        {
            "labels": lambda seed: labels(images()),
            "born again": lambda seed: soft(images(), twin(seed), hard=0.5),
        },
    ),
}

# arms that are another setting's, to the last bit: trained once
SAME = {
    ("memorised teacher", "labels"): ("views", "labels"),
    ("born again", "labels"): ("views", "labels"),
    ("mistaken teacher", "as it should be"): ("views", "exact"),
    ("ensembles", "one teacher"): ("memorised teacher", "T = 4"),
}
