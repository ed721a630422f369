"""What the cache is worth: seconds per epoch, the contenders taking turns within one run.

    python benchmarks/cache.py --data cifar10 --train-images 10000 --teacher runs/cifar10-teacher.safetensors

Prints the median over rounds, as a ratio to plain training in the same round, and how many images went through the
teacher. Ratios, not seconds: machines are noisy, but what slows one contender slows its neighbours too.
"""

import argparse
import json
import statistics
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter

import kdkit
from kdkit import data, models, zoo
from kdkit.data import Views, files
from kdkit.measure import machine, profiling
from kdkit.training import loop
from kdkit.training.cache import ViewCache

import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="things")
    parser.add_argument("--teacher", default="things-teacher")
    parser.add_argument("--train-images", type=int, default=5000)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    splits = data.load(options.data).first(options.train_images)
    teacher = zoo.load(options.teacher) if options.teacher in zoo.names() else zoo.read(options.teacher)
    load = profiling.load()
    print(f"{splits!r}, student {options.width}x{options.depth}, {torch.get_num_threads()} threads, load {load}")
    with tempfile.TemporaryDirectory() as folder:
        seconds, asked, shares = race(options, splits, teacher, Path(folder))
    if options.json:
        result = {"data": splits.name, "train_images": len(splits.train), "epochs": options.epochs, "seconds": seconds}
        result |= {"teacher_images": asked, "shares_outside": shares, "versions": machine.versions(), "load": load}
        with files.replacing(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")
    for name, taken in seconds.items():
        ratios = [own / plain for own, plain in zip(taken, seconds["plain"], strict=True)]
        spread = ", ".join(f"{ratio:.3f}" for ratio in sorted(ratios))
        print(
            f"{name:16} {statistics.median(taken) / options.epochs:7.2f} s/epoch, ratio to plain "
            f"{statistics.median(ratios):.3f} ({spread}), {asked[name]:,} images through the teacher"
        )
    print(f"share of an epoch for views and cache look-ups (second student): {statistics.median(shares):.1%}")


def race(options, splits, teacher, folder):
    """Seconds of each contender in each round; images that the teacher was asked about in one round; and which share
    of the second student's epochs goes into views and look-ups.
    """
    seconds = {name: [] for name in ("plain", "plain again", "online", "first student", "second student")}
    asked, shares = dict.fromkeys(seconds, 0), []
    for round_number in range(options.rounds + 1):  # the first round warms up and does not count
        cache = ViewCache(teacher, splits, folder / f"round{round_number}")  # a file, as the command line uses
        arms = {
            "plain": {},
            "plain again": {},  # the noise floor: what a ratio between equals looks like here
            "online": {"teacher": teacher},
            "first student": {"teacher": teacher, "cache": cache},
            "second student": {"teacher": teacher, "cache": cache},
        }
        for seed, (name, extra) in enumerate(arms.items()):
            before = cache.teacher_images
            run, inside = timed(options, splits, seed, extra)
            if round_number == 0:
                continue
            seconds[name].append(run.seconds)
            asked[name] = cache.teacher_images - before if "cache" in extra else len(splits.train) * options.epochs
            if name == "second student":
                shares.append(inside)
    asked["plain"] = asked["plain again"] = 0
    return seconds, asked, shares


def timed(options, splits, seed, extra):
    """Train; the run, and which share of its epochs went into views and cache look-ups."""
    watch = Watch()
    watched = [(loop, "_epoch"), (Views, "take"), (ViewCache, "outputs")]
    originals = [getattr(place, name) for place, name in watched]
    try:
        for (place, name), original in zip(watched, originals, strict=True):
            setattr(place, name, watch.timed(name, original))
        student = models.student(options.width, options.depth, len(splits.train.classes), seed=seed)
        run = kdkit.train(student, splits, epochs=options.epochs, seed=seed, progress=False, **extra)
    finally:
        for (place, name), original in zip(watched, originals, strict=True):
            setattr(place, name, original)
    return run, (watch.seconds["take"] + watch.seconds["outputs"]) / watch.seconds["_epoch"]


class Watch:
    """Adds up the seconds of functions, by name."""

    def __init__(self):
        self.seconds = Counter()

    def timed(self, name, function):
        def call(*arguments, **named):
            began = perf_counter()
            result = function(*arguments, **named)
            self.seconds[name] += perf_counter() - began
            return result

        return call


if __name__ == "__main__":
    main()
