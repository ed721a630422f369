"""What temperature and soft weight do to a student, for several budgets of labelled pictures.

    python benchmarks/temperature_grid.py --json kdkit/course/measured/temperature-grid.json

For each seed and budget: new pictures of Things, one student alone, and one distilled student for each temperature and
soft weight, all from the same weights, on the same pictures in the same order, with the same number of steps. Accuracy
on the same 2,000 other pictures, after the last epoch; nothing is chosen on them.

A higher temperature also means a longer gradient. As a control, some students get a learning rate that is 3.4 times as
high or as low: that is how much longer it is at T = 4 than at T = 1 for the half-trained student of notebook 02. What
stands in the file already is not trained again.
"""

import argparse
from itertools import product
from pathlib import Path

import kdkit
from kdkit import models, studies, zoo
from kdkit.data import things
from kdkit.measure import machine, metrics
from kdkit.training.cache import ViewCache

BUDGETS = (10, 30, 100)  # labelled pictures of each class
TEMPERATURES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
SOFT_WEIGHTS = (0.5, 0.9, 1.0)  # the labels get the rest
LONGER = 3.4
CONTROLS = ((None, None, LONGER), (1.0, 0.9, LONGER), (4.0, 0.9, 1 / LONGER))  # temperature, soft weight, lr factor
PICTURES_SEEN = 12_000  # by each student, whatever its budget
BATCH = 50
PEAK_LR = 0.4 * BATCH / 512  # before the factor
TEST_SEED = 777


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    teacher, test = zoo.load("things-teacher"), things.make(200, seed=TEST_SEED)
    about = {
        "data": "things",
        "teacher_accuracy": metrics.accuracy(metrics.predict(teacher, test.images), test.labels),
        "temperatures": TEMPERATURES,
        "soft_weights": SOFT_WEIGHTS,
        "longer": LONGER,
        "settings": {"width": options.width, "depth": options.depth, "batch_size": BATCH, "pictures": PICTURES_SEEN},
        "versions": machine.versions(),
    }
    ledger = studies.Ledger(about, options.json, say=lambda row: print(row, flush=True))
    for budget, seed in product(BUDGETS, range(options.seeds)):
        students(options, teacher, test, budget, seed, ledger)


def students(options, teacher, test, budget, seed, ledger):
    """One row a student: the one alone (temperature and soft weight None), the grid, the controls."""
    pictures = things.splits(budget, seed=1000 * budget + seed)
    cache = ViewCache(teacher, pictures)
    arms = [(None, None, 1.0), *product(TEMPERATURES, SOFT_WEIGHTS, (1.0,)), *CONTROLS]
    for temperature, soft_weight, factor in arms:
        key = dict(per_class=budget, seed=seed, temperature=temperature, soft_weight=soft_weight, lr_factor=factor)
        ledger.row(key, lambda key=key: train(options, pictures, cache, test, **key))


def train(options, pictures, cache, test, *, per_class, seed, temperature, soft_weight, lr_factor):
    """What became of one student, on the test pictures."""
    taught = {}
    if temperature is not None:
        weights = dict(soft_weight=soft_weight, hard_weight=round(1 - soft_weight, 3))
        taught = dict(teacher=cache.teacher, cache=cache, temperature=temperature, **weights)
    student = models.student(options.width, options.depth, seed=seed)
    epochs = PICTURES_SEEN // (len(things.CLASSES) * per_class)
    schedule = dict(epochs=epochs, batch_size=BATCH, lr=lr_factor * PEAK_LR, seed=seed)
    # gradients are not cut: how long they are is part of the question
    kdkit.train(student, pictures, **schedule, max_grad_norm=None, progress=False, **taught)
    return {"accuracy": metrics.accuracy(metrics.predict(student, test.images), test.labels)}


if __name__ == "__main__":
    main()
