"""Does the default training hold? Students of three data sets, four sizes and three widths, alone and at three T.

    python benchmarks/defaults.py --json kdkit/course/measured/defaults.json

Each student is trained as the command line would train it: ``training.proposed`` gives batch size and epochs, and rate
and cut of gradients are those of ``kdkit.train``. A student is *broken* if it is right less often than half of the way
from chance to the best arm's mean among students of its data, size and width. What stands in the file already is not
trained again; data that is not on the machine is left out.
"""

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean

import kdkit
from kdkit import data, models, studies, training, zoo
from kdkit.measure import machine, metrics
from kdkit.training.cache import ViewCache

import torch

DATA = ("things", "mnist", "cifar10")
IMAGES = (300, 1000, 5000, None)  # None: all
WIDTHS, DEPTH = (4, 8, 32), 6
TEMPERATURES = (None, 1.0, 4.0, 20.0)  # None: alone
SEEDS = 5
WATCHED, JUDGED = 500, 2000  # validation and test images: enough to tell a broken student from a sound one
EPOCHS = 8  # or more, where these are few steps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=DATA, choices=DATA)
    parser.add_argument("--widths", nargs="+", type=int, default=WIDTHS)
    parser.add_argument("--images", nargs="+", type=int, default=IMAGES, help="0: all")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    about = {"experiment": "defaults", "versions": machine.versions()}
    about["settings"] = {"depth": DEPTH, "lr": training.PEAK_LR, "max_grad_norm": training.MAX_GRAD_NORM}
    ledger = studies.Ledger(about, options.json, say=lambda row: print(row, flush=True))
    for name, images, width in product(options.data, options.images, options.widths):
        students(ledger, name, images or None, width, options.device)
    print("\n".join(table({"rows": ledger.rows})))


def students(ledger, name, images, width, device):
    """Add a row for each student of one cell that has none yet."""
    keys = [
        {"data": name, "images": images, "width": width, "temperature": temperature, "seed": seed}
        for temperature, seed in product(TEMPERATURES, range(SEEDS))
    ]
    if all(any(key.items() <= row.items() for row in ledger.rows) for key in keys):
        return
    try:
        splits = data.load(name)
    except FileNotFoundError as missing:
        return print(missing)
    splits = splits.first(images) if images else splits
    splits = replace(splits, val=splits.val.sample(WATCHED), test=splits.test.sample(JUDGED))
    cache = ViewCache(zoo.load(f"{name}-teacher").to(device), splits)
    for key in keys:
        ledger.row(key, lambda key=key: train(splits, cache, width, key["temperature"], key["seed"], device))


def train(splits, cache, width, temperature, seed, device):
    batch_size, epochs = training.proposed(len(splits.train), EPOCHS)
    taught = {} if temperature is None else {"teacher": cache.teacher, "cache": cache, "temperature": temperature}
    classes, channels = len(splits.train.classes), splits.train.images.shape[1]
    student = models.student(width, DEPTH, classes, channels, seed).to(device)
    try:
        kdkit.train(student, splits, epochs=epochs, batch_size=batch_size, seed=seed, progress=False, **taught)
    except training.Diverged as problem:
        return {"accuracy": 0.0, "chance": 1 / classes, "diverged": str(problem)}
    accuracy = metrics.accuracy(metrics.predict(student, splits.test.images), splits.test.labels)
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return {"accuracy": accuracy, "chance": 1 / classes, "device": name}


def cells(result):
    """The rows of each (data, images, width), in order: a dict."""
    found = {}
    for row in result["rows"]:
        found.setdefault((row["data"], row["images"], row["width"]), []).append(row)
    return found


def arms(rows):
    """Accuracies of a cell by temperature: a dict of lists."""
    found = {}
    for row in rows:
        found.setdefault(row["temperature"], []).append(row["accuracy"])
    return found


def broken(rows):
    """Those of a cell that are right less often than half of the way from chance to its best arm."""
    best = max(fmean(accuracies) for accuracies in arms(rows).values())
    return [row for row in rows if row["accuracy"] < (best + row["chance"]) / 2]


def table(result):
    """What was measured, as lines of Markdown."""
    yield "| data | images | width | alone | T = 1 | T = 4 | T = 20 | lowest student | broken |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for (name, images, width), rows in cells(result).items():
        by_arm = arms(rows)
        means = [f"{fmean(by_arm[t]):.1%}" if t in by_arm else "-" for t in TEMPERATURES]
        lowest, bad = min(row["accuracy"] for row in rows), len(broken(rows))
        yield f"| {name} | {images or 'all'} | {width} | {' | '.join(means)} | {lowest:.1%} | {bad} of {len(rows)} |"


if __name__ == "__main__":
    main()
