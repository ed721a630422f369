"""Why do teachers find a chair so unlike a sofa? Teachers with other seeds, and chairs with some measures of a sofa.

    python benchmarks/sofa.py --json kdkit/course/measured/sofa.json

Five teachers as the one that ships (width 12, 10,000 images, 10 epochs of 256 images a step), from other weights and in
another order. Each is asked about the same new chairs: as they are, and with a sofa's legs, seat width or arms in place
of their own. A row says in how many of them "sofa" comes last of the ten classes, and its median probability; and which
class gets the least of the mean soft target. What stands in the file already is not trained again.
"""

import argparse
from pathlib import Path

import kdkit
from kdkit import models, studies, zoo
from kdkit.data import things
from kdkit.measure import machine, metrics

import torch

SEEDS = (1, 2, 3, 4, 5)
CHAIRS = 200
ARMS = ("arm_height", "arm_width", "arm_solid")
CHANGES = {  # what a chair takes from a sofa
    "nothing": (),
    "arms": ARMS,
    "legs": ("leg_length",),
    "width": ("seat_width",),
    "legs and width": ("leg_length", "seat_width"),
}
TRAINING = {"per_class": 1000, "width": 12, "epochs": 10, "batch_size": 256}
TEST = {"per_class": 300, "seed": 101}
SOFA, CHAIR = things.CLASSES.index("sofa"), things.CLASSES.index("chair")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings = {**TRAINING, "chairs": CHAIRS, "test": TEST, "changes": CHANGES}
    about = {"experiment": "sofa", "settings": settings, "versions": machine.versions()}
    ledger = studies.Ledger(about, options.json, say=lambda row: print(row, flush=True))
    ledger.row({"seed": "shipped"}, lambda: asked(zoo.load("things-teacher")))
    for seed in SEEDS:
        ledger.row({"seed": seed}, lambda seed=seed: asked(trained(seed)))


def trained(seed):
    """A teacher as the shipped one, from another seed."""
    network = models.teacher(TRAINING["width"], seed=seed)
    schedule = {"epochs": TRAINING["epochs"], "batch_size": TRAINING["batch_size"], "seed": seed}
    kdkit.train(network, things.splits(TRAINING["per_class"]), **schedule, progress=False)
    return network


def asked(teacher):
    """What one teacher says of new images, and of chairs with some measures of a sofa."""
    test = things.make(**TEST)
    logits = metrics.predict(teacher, test.images)
    chair = metrics.mean_soft_targets(logits, test.labels)[CHAIR]
    row = {"accuracy": metrics.accuracy(logits, test.labels), "least": things.CLASSES[int(chair.argmin())]}
    for name, measures in CHANGES.items():
        row[name] = sofa_in(metrics.predict(teacher, chairs(measures)))
    return row


def chairs(measures):
    """The same chairs each time, with a sofa's ``measures``: uint8 ``[CHAIRS, 3, 32, 32]``."""
    return torch.cat([things.morph("chair", "sofa", [1.0], seed, measures) for seed in range(CHAIRS)])


def sofa_in(logits):
    """How little of a sofa a network sees in images, by its ``logits`` ``[N, 10]``."""
    last = (logits.argmin(1) == SOFA).sum().item()
    return {"last": last, "median": logits.softmax(1)[:, SOFA].median().item()}


def table(result):
    """What was measured, as lines of Markdown."""
    yield f"| teacher | accuracy | {' | '.join(result['settings']['changes'])} |"
    yield "|---|---|" + "---|" * len(result["settings"]["changes"])
    for row in result["rows"]:
        cells = [f"{row[name]['last']} ({row[name]['median']:.0e})" for name in result["settings"]["changes"]]
        yield f"| {row['seed']} | {row['accuracy']:.1%} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
