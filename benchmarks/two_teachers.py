"""Two teachers of equal accuracy, one trained with label smoothing: which of them teaches more?

    python benchmarks/two_teachers.py --json kdkit/course/measured/two-teachers.json

For each seed: two teachers with the same first weights learn from the same 1,000 images of Things in the same order,
one from the labels, one from labels of which a tenth is shared out among all classes. From each, students with the same
first weights learn on the same images in the same order, from soft targets alone (T = 4): on 300 images that are new to
the teachers, in a short and a long training, and on the teachers' own 1,000. One more student each learns from the
labels. All are asked about the same 3,000 new images, after the last epoch.

What a soft target says beyond its class is the mean KL divergence from the mean soft target of its class to it, in
bits, on the teachers' images: 0 where all images of a class get the same one. What stands in the file already is not
trained again.
"""

import argparse
import functools
import statistics
from itertools import product
from pathlib import Path

import kdkit
from kdkit import models, studies
from kdkit.data import things
from kdkit.measure import machine, metrics
from kdkit.training.cache import ViewCache

from torch.nn import functional as F

SMOOTHING = {"plain": 0.0, "smoothed": 0.1}
SOFT_ONLY = {"temperature": 4.0, "soft_weight": 1.0, "hard_weight": 0.0}
TEACHER = {"width": 12, "epochs": 12, "batch_size": 50}
STUDENT = {"width": 8, "depth": 3}
PER_CLASS = 100  # images of a teacher
SETTINGS = {  # of a student
    "300 images": {"per_class": 30, "batch_size": 32, "epochs": 20},
    "300 images, three times as long": {"per_class": 30, "batch_size": 32, "epochs": 60},
    "1,000 images, the teachers'": {"per_class": PER_CLASS, "batch_size": 50, "epochs": 20},
}
TEST = {"per_class": 300, "seed": 101}
SHOWN = 0  # the number of a test image whose logits are kept: a chair


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings = {"smoothing": SMOOTHING, "taught": SOFT_ONLY, "teacher": TEACHER, "student": STUDENT}
    settings |= {"students": SETTINGS, "per_class": PER_CLASS, "test": TEST}
    about = {"experiment": "two teachers", "settings": settings, "data_fingerprint": drawn(PER_CLASS).train.fingerprint}
    ledger = studies.Ledger(
        {**about, "versions": machine.versions()}, options.json, say=lambda row: print(row, flush=True)
    )
    for (setting, how), seed in product(SETTINGS.items(), range(options.seeds)):
        for kind in (*SMOOTHING, "labels"):
            teacher = functools.partial(trained_teacher, kind, seed)
            key = {"seed": seed, "network": "teacher", "kind": kind}
            if kind in SMOOTHING:
                ledger.row(key, lambda teacher=teacher: asked(teacher()))
            key |= {"network": "student", "setting": setting}
            ledger.row(key, lambda teacher=teacher, how=how, seed=seed: asked_student(seed, how, teacher()))
    print("\n".join(table({"rows": ledger.rows})))


@functools.cache
def drawn(per_class):
    """The images to learn from: other ones for each ``per_class``."""
    return things.splits(per_class)


@functools.cache
def test():
    """The images that all networks are asked about."""
    return things.make(**TEST)


@functools.cache
def trained_teacher(kind, seed):
    """A teacher of one kind; None for students of the labels."""
    if kind not in SMOOTHING:
        return None
    network = models.teacher(TEACHER["width"], seed=100 + seed)

    def loss(student, _, batch):
        return F.cross_entropy(student["logits"], batch.labels, label_smoothing=SMOOTHING[kind])

    schedule = {name: TEACHER[name] for name in ("epochs", "batch_size")}
    kdkit.train(network, drawn(PER_CLASS), loss=loss, seed=100 + seed, progress=False, **schedule)
    return network


def asked(teacher):
    """How accurate a teacher is, what its soft targets say beyond the class, and its logits for one image."""
    logits, train = metrics.predict(teacher, test().images), drawn(PER_CLASS).train
    said = metrics.predict(teacher, train.images)
    beyond = {str(T): metrics.beyond_class(said, train.labels, T) for T in (1.0, SOFT_ONLY["temperature"])}
    shown = [round(value, 4) for value in logits[SHOWN].tolist()]
    return {"accuracy": metrics.accuracy(logits, test().labels), "beyond_class": beyond, "shown": shown}


def asked_student(seed, how, teacher):
    """The accuracy of one student: of soft targets, or without a teacher of labels."""
    images = drawn(how["per_class"])
    taught = {} if teacher is None else dict(teacher=teacher, cache=ViewCache(teacher, images), **SOFT_ONLY)
    network = models.student(**STUDENT, seed=seed)
    batches = {"batch_size": how["batch_size"], "epochs": how["epochs"], "seed": seed}
    kdkit.train(network, images, progress=False, **batches, **taught)
    return {"accuracy": metrics.accuracy(metrics.predict(network, test().images), test().labels)}


def accuracies(result, kind, setting=None):
    """By seed: of the teachers of one kind, or in a ``setting`` of their students."""
    rows = [row for row in result["rows"] if row["kind"] == kind and row.get("setting") == setting]
    return [row["accuracy"] for row in rows]


def bits(result):
    """What the soft targets of each kind of teacher say beyond the class, by temperature: means over seeds, in bits."""
    said = {
        kind: [row["beyond_class"] for row in result["rows"] if row["kind"] == kind and "beyond_class" in row]
        for kind in SMOOTHING
    }
    return {kind: {T: statistics.mean(row[T] for row in rows) for T in rows[0]} for kind, rows in said.items()}


def table(result):
    """What was measured, as lines of Markdown: means over seeds, and the differences, smoothed minus plain."""
    yield "| | labels | plain | smoothed | smoothed minus plain |"
    yield "|---|---|---|---|---|"
    for setting in (None, *SETTINGS):
        labels, plain, smoothed = (accuracies(result, kind, setting) for kind in ("labels", *SMOOTHING))
        means = [f"{statistics.mean(values):.2%}" if values else "-" for values in (labels, plain, smoothed)]
        gap = metrics.paired_interval(smoothed, baseline=plain).verdict
        yield f"| {f'students, {setting}' if setting else 'teachers'} | {' | '.join(means)} | {gap} |"


if __name__ == "__main__":
    main()
