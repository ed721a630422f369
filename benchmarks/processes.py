"""What torchrun's processes bring on one machine: images a second, and the same training's end.

    python benchmarks/processes.py --json kdkit/course/measured/processes.json

The same student on the same images, epochs and batches, three ways in turns: one process with a thread, two processes
with a thread each, one process with two threads. Each turn is started by torchrun and trains twice; the first training
warms up and does not count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import kdkit
from kdkit import models, studies
from kdkit.data import things
from kdkit.measure import machine, profiling
from kdkit.training import distributed

COMMAND = "python benchmarks/processes.py --json kdkit/course/measured/processes.json"
CONTENDERS = {"1 process, 1 thread": (1, 1), "2 processes, 1 thread each": (2, 1), "1 process, 2 threads": (1, 2)}
PER_CLASS, EPOCHS, BATCH, WIDTH, DEPTH = 300, 4, 256, 8, 3


def turn():
    """One of torchrun's processes: the first prints what the second training gave."""
    splits = things.splits(PER_CLASS)
    for _ in range(2):
        student = models.student(WIDTH, DEPTH)
        run = kdkit.train(student, splits, epochs=EPOCHS, batch_size=BATCH, progress=False)
    if distributed.first():
        images = EPOCHS * len(splits.train.labels)
        print(json.dumps({"images_per_second": images / run.seconds, "losses": [row["loss"] for row in run.history]}))


def measured(contender):
    processes, threads = CONTENDERS[contender]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    load = profiling.load()
    done = subprocess.run(
        [*command, __file__, "--turn"], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return {"load": load, **json.loads(done.stdout.splitlines()[-1])}


def page(result):
    """The section of the page of measured results, as lines of Markdown."""
    loads = sorted(float(row["load"]) for row in result["rows"])
    yield from ("## Several processes on one machine", "", f"    {COMMAND}", "")
    yield (
        f"A student {WIDTH}x{DEPTH} learns Things ({PER_CLASS} a class drawn) for {EPOCHS} epochs in batches of "
        f"{BATCH}, the contenders in turns, {rounds(result)} rounds, on {result['settings']['cores']} cores, load "
        f"{loads[0]:.1f} to {loads[-1]:.1f} before a turn. Validation, which the first process alone does, is in the "
        "seconds. The loss of two processes differs because each normalises its own part of a batch (BatchNorm)."
    )
    yield from ("", "| started as | images a second | times as many as one | smallest to largest | last loss |")
    yield "|---|---|---|---|---|"
    alone = _speeds(result, "1 process, 1 thread")
    for name in CONTENDERS:
        speeds = _speeds(result, name)
        ratios = sorted(speed / other for speed, other in zip(speeds, alone, strict=True))
        last = next(row["losses"][-1] for row in result["rows"] if row["contender"] == name)
        yield (
            f"| {name} | {statistics.median(speeds):,.0f} | {statistics.median(ratios):.2f} | {ratios[0]:.2f} to "
            f"{ratios[-1]:.2f} | {last:.3f} |"
        )


def rounds(result):
    return 1 + max(row["round"] for row in result["rows"])


def _speeds(result, name):
    return [row["images_per_second"] for row in result["rows"] if row["contender"] == name]


def about():
    """What all rows have in common: a dict."""
    settings = {"per_class": PER_CLASS, "epochs": EPOCHS, "batch_size": BATCH, "student": [WIDTH, DEPTH]}
    settings |= {"cores": os.cpu_count()}
    versions = machine.versions()
    versions.pop("threads")  # each contender has its own
    return {"experiment": "processes", "settings": settings, "device": "cpu", "versions": versions}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--turn", action="store_true", help="be one of torchrun's processes")
    options = parser.parse_args()
    if options.turn:
        distributed.join()
        turn()
        return
    ledger = studies.Ledger(about(), options.json)
    for number in range(options.rounds):
        for contender in CONTENDERS:
            ledger.row({"round": number, "contender": contender}, lambda name=contender: measured(name))
    print("\n".join(page(ledger.about | {"rows": ledger.rows})))


if __name__ == "__main__":
    main()
