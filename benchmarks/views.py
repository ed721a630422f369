"""The price of the fixed schedule of views: the same training with views drawn anew for each seed and epoch.

    python benchmarks/views.py --data cifar10 --json runs/views.json

A fixed schedule lets the cache serve every seed, but shows each student the same views. Here students learn without
a teacher under both, on the same budget, in pairs (same weights, same order).
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import kdkit
from kdkit import data, models
from kdkit.data import Views, files
from kdkit.measure import machine, metrics

import torch


@dataclass(frozen=True)
class RandomViews(Views):
    """Any view, drawn anew for each image in each epoch, and differently for each seed."""

    seed: int = 0

    def schedule(self, images, epoch):
        generator = torch.Generator().manual_seed(1_000_003 * (self.seed + 1) + epoch)
        return torch.randint(self.count, (images,), generator=generator)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="things")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    splits = data.load(options.data)
    runs = [{"seed": seed, **both(options, splits, seed)} for seed in range(options.seeds)]
    pair = metrics.paired_interval([run["fixed"] for run in runs], baseline=[run["random"] for run in runs])
    print(f"fixed schedule against random views: {pair.verdict}")
    if options.json:
        result = {"data": splits.name, "runs": runs, "verdict": pair.verdict, "versions": machine.versions()}
        with files.replacing(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


def both(options, splits, seed):
    """Test accuracy of the two students of one seed."""
    views = splits.views
    kinds = {"fixed": views, "random": RandomViews(views.flip, views.shift, seed)}
    accuracy = {}
    for kind, chosen in kinds.items():
        student = models.student(options.width, options.depth, len(splits.train.classes), seed=seed)
        student = student.to(options.device)
        kept = options.runs / f"views-{splits.name}-{kind}-seed{seed}.checkpoint"
        kdkit.train(student, replace(splits, views=chosen), epochs=options.epochs, seed=seed, checkpoint=kept)
        answers = metrics.predict(student, splits.test.images)
        accuracy[kind] = metrics.accuracy(answers, splits.test.labels)
    print(f"seed {seed}: {accuracy}", flush=True)
    return accuracy


if __name__ == "__main__":
    main()
