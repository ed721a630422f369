"""What makes a student worse than it could be: ten failures, each caused on purpose, each beside its cure.

    python benchmarks/failures.py --json kdkit/course/measured/failures.json

A setting has arms. Each arm gets three tries on validation images by the student of one more seed: the same three
learning rates for all. Then its students (five, more where the arms are unstable) with the best of the three. All
students of a seed begin with the same weights and see the same images in the same order and views. Where teachers are
trained, each seed has its own. The last epoch counts; no choice looks at the test images. CIFAR-10 must be on the disk
(KDKIT_DATA). What stands in the JSON file is not trained again.
"""

import argparse
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from kdkit import data, losses, models, studies, training, zoo
from kdkit.course import failures as cause
from kdkit.data import things
from kdkit.data.images import Splits
from kdkit.data.views import Views
from kdkit.measure import machine, metrics
from kdkit.studies import failures
from kdkit.training import images as recipe

import torch
from torch import nn

RATES = (0.08, 0.25, 0.75)
SEEDS = {"train": 71, "val": 72, "test": 73, "teacher": 75, "transfer": 76}
PER_CLASS = {"val": 50, "test": 200}
TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
OWN = 300  # at most so many of its training images is a student asked about
WRONG = 1000  # images of another kind


class Lesson(NamedTuple):
    """What a student learns from, and how."""

    data: Splits
    loss: training.Loss
    teacher: nn.Module | None = None
    cache: Any = None


@dataclass(frozen=True)
class Setting:
    """Arms, each a function of the seed to a ``Lesson``; after how many ``steps`` they end, ``checks`` in between."""

    arms: dict[str, Callable[[int], Lesson]]
    steps: int = 480
    seeds: int = 5
    student: tuple[int, int] = cause.STUDENT
    checks: tuple[int, ...] = ()
    teachers: dict[str, Callable[[int], nn.Module]] = field(default_factory=dict)
    taught: Callable[[int], Splits] | None = None  # the images that the teachers learnt from


@functools.cache
def images(per_class=30, part="train", views=Views(flip=True, shift=2)):  # noqa: B008
    """Things to learn from, with the images to choose by and to report on that all have in common."""
    return Splits(things.make(per_class, SEEDS[part]), *judges(), views)


@functools.cache
def judges():
    return [things.make(PER_CLASS[part], SEEDS[part]) for part in ("val", "test")]


def labels(splits):
    return Lesson(splits, training.Distillation())


def soft(splits, teacher, temperature=4.0, hard=0.0, cache=None):
    """Soft targets, beside labels with the weight ``hard``."""
    loss = training.Distillation(temperature, 1 - hard, hard)
    return Lesson(splits, loss, teacher, cache or kept(teacher, splits))


@functools.cache
def kept(teacher, splits):
    return training.ViewCache(teacher, splits)


@functools.cache
def shipped():
    return zoo.load("things-teacher")


@functools.cache
def trained(per_class, part, epochs, width=12, smoothing=0.0, seed=0):
    """A teacher of one seed; those of students' seeds begin at 100."""
    splits = images(per_class, part)
    return cause.teacher_of(splits, epochs=epochs, width=width, smoothing=smoothing, seed=100 + seed)


# 1: teachers with and without label smoothing


def plain_teacher(seed):
    return trained(100, "teacher", 12, seed=seed)


def smoothed_teacher(seed):
    return trained(100, "teacher", 12, smoothing=0.1, seed=seed)


def smoothed(steps):
    arms = {
        f"{name}, T = {T:g}": lambda seed, of=of, T=T: soft(images(), of(seed), T)
        for name, of in (("plain", plain_teacher), ("smoothed", smoothed_teacher))
        for T in (1.0, 4.0)
    }
    teachers = {"plain": plain_teacher, "smoothed": smoothed_teacher}
    return Setting(arms, steps, teachers=teachers, taught=lambda seed: images(100, "teacher"))


# 2: wrong images


@functools.cache
def wrong(kind):
    """1,000 images of another kind (or with some Things among them): Splits."""
    right = things.make(WRONG // 10, SEEDS["transfer"]).images
    share = {"5 %": WRONG // 20, "20 %": WRONG // 5}.get(kind.split(" Things")[0])
    if kind == "5 % Things alone":
        return cause.unlabelled(right[:share], images())
    if share:
        noise = cause.pixel_noise(WRONG, SEEDS["transfer"])
        return cause.unlabelled(torch.cat([right[:share], noise[share:]]), images())
    found = {
        "Things": lambda: right,
        "chairs only": lambda: chairs(),
        "colours inverted": lambda: 255 - right,
        "CIFAR-10 photographs": lambda: data.cifar10().first(WRONG).train.images,
        "shuffled patches": lambda: cause.shuffled_patches(right),
        "smooth noise": lambda: cause.smooth_noise(WRONG, SEEDS["transfer"]),
        "pixel noise": lambda: cause.pixel_noise(WRONG, SEEDS["transfer"]),
    }
    return cause.unlabelled(found[kind](), images())


def chairs():
    drawn = things.make(WRONG, SEEDS["transfer"])
    return drawn.images[drawn.labels == drawn.number("chair")]


KINDS = ("Things", "CIFAR-10 photographs", "chairs only", "colours inverted", "shuffled patches", "smooth noise")
KINDS += ("pixel noise", "5 % Things, 95 % pixel noise", "20 % Things, 80 % pixel noise", "5 % Things alone")


# 3: views


def viewed(shift, how):
    """A lesson with the shipped teacher that is asked about the view that the student sees, or about another."""

    def lesson(seed):
        splits = images(views=Views(flip=shift > 0, shift=shift))
        return soft(splits, shipped(), cache=None if how == "exact" else others(shift, how == "plain"))

    return lesson


@functools.cache
def others(shift, plain):
    return cause.OtherViews(shipped(), images(views=Views(flip=True, shift=shift)), plain=plain)


VIEWS = {
    "labels": lambda seed: labels(images()),
    "exact": viewed(2, "exact"),
    "no augmentation": viewed(0, "exact"),
    "plain image": viewed(2, "plain"),
    "another view": viewed(2, "another"),
}
VIEWS |= {f"{how}, shift {s}": viewed(s, how.split()[0]) for s in (8, 4) for how in ("exact", "plain image", "another view")}


# 4 to 6: teachers that know their images by heart, that err, that learnt noise


def own_teacher(seed):
    return trained(30, "train", 60, seed=seed)


def weak_teacher(seed):
    return trained(20, "teacher", 20, width=8, seed=seed)


def weakly(per_class=100, temperature=4.0, hard=0.0):
    return lambda seed: soft(images(per_class, "transfer"), weak_teacher(seed), temperature, hard)


FIDELITY = {
    "labels": lambda seed: labels(images(100, "transfer")),
    "1,000 images": weakly(),
    "100 images": weakly(10),
    "300 images": weakly(30),
    "3,000 images": weakly(300),
    "T = 1": weakly(temperature=1.0),
    "T = 16": weakly(temperature=16.0),
}


@functools.cache
def noisy(seed):
    return cause.with_noisy_labels(images(50), 0.4, seed)


@functools.cache
def noisy_teacher(seed):
    return cause.teacher_of(noisy(seed), epochs=40, seed=100 + seed)


NOISY = {
    "noisy labels": lambda seed: labels(noisy(seed)),
    "noisy teacher": lambda seed: soft(noisy(seed), noisy_teacher(seed)),
    "clean teacher": lambda seed: soft(images(50), shipped()),
    "half and half": lambda seed: soft(noisy(seed), shipped(), hard=0.5, cache=kept(shipped(), images(50))),
    "clean labels": lambda seed: labels(images(50)),
}


# 7 and 8: gap, assistant, ensembles, generations


def gap_teacher(width, epochs=24):
    return lambda seed: trained(30, "train", epochs, width=width, seed=seed)


@functools.cache
def assistant(seed):
    teacher = gap_teacher(32)(seed)
    return cause.student_of(teacher, images(), epochs=40, seed=200 + seed)


GAP_TEACHERS = {f"width {width}": gap_teacher(width) for width in (4, 8, 16, 32)}
GAP_TEACHERS |= {"width 32, stopped early": gap_teacher(32, 6), "assistant": assistant}
GAP = {name: lambda seed, of=of: soft(images(), of(seed)) for name, of in GAP_TEACHERS.items()}


@functools.cache
def ensemble(temperature):
    return cause.Ensemble([own_teacher(seed) for seed in range(5)], temperature)


@functools.cache
def generation(number, seed):
    """A network of the student's own size: the first from labels, each later one from the one before and labels."""
    network = models.student(*cause.STUDENT, seed=200 + 100 * number + seed)
    lesson = labels(images()) if number == 0 else soft(images(), generation(number - 1, seed), hard=0.5)
    how = {"teacher": lesson.teacher, "cache": lesson.cache, "seed": 200 + 100 * number + seed}
    return cause.learn(network, lesson.data, lesson.loss, epochs=40, **how).student


# 10: what a teacher is asked, and how it is understood


@functools.cache
def mistaken(name):
    changes = {
        "normalised twice": cause.Normalised(),
        "its middle 24 pixels only": cause.Resized(24, 24),
        "as drawn at 16 pixels": cause.Resized(32, 16),
    }
    return cause.OtherOrder(shipped()) if name == "classes in another order" else cause.Given(shipped(), changes[name])


MISTAKES = ("classes in another order", "normalised twice", "its middle 24 pixels only", "as drawn at 16 pixels")

SETTINGS = {
    "smoothed teacher": smoothed(480),
    "smoothed teacher, few steps": smoothed(120),
    "wrong images": Setting(
        {kind: lambda seed, kind=kind: soft(wrong(kind), shipped()) for kind in KINDS}, 720, checks=(40, 120, 240, 480)
    ),
    "views": Setting(VIEWS),
    "memorised teacher": Setting(
        {
            "labels": lambda seed: labels(images()),
            "T = 1": lambda seed: soft(images(), own_teacher(seed), 1.0),
            "T = 4": lambda seed: soft(images(), own_teacher(seed)),
        },
        teachers={"memorised": own_teacher},
        taught=lambda seed: images(),
    ),
    "fidelity": Setting(FIDELITY, 720, teachers={"weak": weak_teacher}, taught=lambda seed: images(20, "teacher")),
    "noisy labels": Setting(NOISY, seeds=8, teachers={"noisy": noisy_teacher}, taught=noisy),
    "mistaken teacher": Setting(
        {
            "as it should be": lambda seed: soft(images(), shipped()),
            **{name: lambda seed, name=name: soft(images(), mistaken(name)) for name in MISTAKES},
        },
        seeds=3,
    ),
    "ensembles": Setting(
        {
            "one teacher": lambda seed: soft(images(), own_teacher(seed)),
            "mean probabilities": lambda seed: soft(images(), ensemble(4.0)),
            "mean logits": lambda seed: soft(images(), ensemble(None)),
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
            "first generation": lambda seed: soft(images(), generation(0, seed), hard=0.5),
            "second generation": lambda seed: soft(images(), generation(1, seed), hard=0.5),
        },
    ),
}


class Study:
    """The students of one setting: trained when they are asked for, and kept in ``ledger``."""

    def __init__(self, name, ledger):
        self.name, self.setting, self.ledger = name, SETTINGS[name], ledger

    def run(self):
        """The tries of all arms, then seed by seed what the teachers are worth and what became of the students."""
        for arm in self.setting.arms:
            for rate in RATES:
                self.row(arm, rate, studies.TUNING_SEED)
        for seed in range(self.setting.seeds):
            for name, teacher in self.setting.teachers.items():
                key = {"setting": self.name, "teacher": name, "seed": seed}
                self.ledger.row(key, lambda teacher=teacher, seed=seed: self.asked(teacher(seed), seed))
            for arm in self.setting.arms:
                result = {**self.ledger.about, "rows": self.ledger.rows}
                self.row(arm, failures.chosen(result, self.name, arm), seed)

    def row(self, arm, rate, seed):
        """What became of one student: a dict. Trained now, unless it has been."""
        key = {"setting": self.name, "arm": arm, "steps": self.setting.steps, "lr": rate, "seed": seed}
        return self.ledger.row(key, lambda: self.train(arm, rate, seed))

    def train(self, arm, rate, seed):
        lesson = self.setting.arms[arm](seed)
        tuning = seed == studies.TUNING_SEED  # nothing that is tuned looks at the test images
        network = models.student(*self.setting.student, seed=seed)
        passed = len(lesson.data.train) // cause.BATCH
        watched = Watched(lesson.data.test, passed, () if tuning else self.setting.checks)
        how = {"teacher": lesson.teacher, "cache": lesson.cache, "lr": rate, "seed": seed, "validate": watched}
        try:
            run = cause.learn(network, lesson.data, lesson.loss, epochs=self.setting.steps // passed, **how)
        except training.Diverged:
            return {"diverged": True, "val_accuracy" if tuning else "accuracy": 0.0}
        row = {"seconds": round(run.seconds, 1)} | watched.found
        if tuning:
            return row | {"val_accuracy": accuracy(network, lesson.data.val)}
        return row | judged(network, lesson)

    def asked(self, teacher, seed):
        """How accurate a teacher is, also on the images it learnt from; what its soft targets there say beyond the class."""
        own, test = self.setting.taught(seed).train, judges()[1]
        said = metrics.predict(teacher, own.images)
        row = {"accuracy": accuracy(teacher, test), "own_accuracy": metrics.accuracy(said, own.labels)}
        row["confidence"] = said.softmax(1).amax(1).mean().item()
        return row | {f"beyond_class at {T:g}": beyond_class(said, own.labels, T) for T in TEMPERATURES}


class Watched:
    """Notes the test accuracy after some steps of a training, for the notebook's slider: chosen by is nothing here."""

    def __init__(self, test, steps_an_epoch, checks):
        self.test, self.steps, self.checks = test, steps_an_epoch, checks
        self.taken, self.found = 0, {}

    def __call__(self, student):
        self.taken += self.steps
        if self.taken in self.checks:
            self.found[f"after {self.taken}"] = accuracy(student, self.test)
        return {}


def judged(network, lesson):
    """All that is reported of a student."""
    test, val, own = lesson.data.test, lesson.data.val, lesson.data.train.images[:OWN]
    said = metrics.predict(network, test.images)
    row = cause.judged(said, test.labels, metrics.predict(network, val.images), val.labels)
    if lesson.teacher is None:
        return row
    taught = answers(lesson.teacher, lesson.data)
    wrong_ones = taught.argmax(1) != test.labels
    row["agreement"] = metrics.agreement(said, taught)
    row["own_agreement"] = metrics.agreement(metrics.predict(network, own), metrics.predict(lesson.teacher, own))
    row["teacher_accuracy"] = metrics.accuracy(taught, test.labels)
    row["right_where_teacher_errs"] = metrics.accuracy(said[wrong_ones], test.labels[wrong_ones])
    return row


@functools.lru_cache(16)
def answers(teacher, splits):
    return metrics.predict(teacher, splits.test.images)


def beyond_class(logits, labels, temperature):
    """In bits: the mean KL divergence of each soft target from the mean one of its class."""
    mean = metrics.mean_soft_targets(logits, labels, temperature)[labels]  # [N, C]
    return losses.kl_divergence(temperature * mean.log(), logits, temperature).item() / math.log(2)


def accuracy(network, part):
    return metrics.accuracy(metrics.predict(network, part.images), part.labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ledger = studies.Ledger(about(), options.json, say=lambda row: print(row, flush=True))
    for name in options.settings:
        Study(name, ledger).run()


def about():
    """What all rows have in common: a dict. Rows of other settings are other results."""
    optimizer = {"momentum": recipe.MOMENTUM, "weight_decay": recipe.WEIGHT_DECAY, "warm_up": recipe.WARM_UP}
    optimizer["longest_gradient"] = recipe.MAX_GRAD_NORM
    settings = {"batch_size": cause.BATCH, "seeds": SEEDS, "judges": PER_CLASS, "optimizer": optimizer}
    found = {"experiment": "failures", "settings": settings, "rates": RATES}
    found |= {"teacher": zoo.card("things-teacher")["sha256"]}
    return found | {"device": "cpu", "versions": machine.versions()}


if __name__ == "__main__":
    main()
