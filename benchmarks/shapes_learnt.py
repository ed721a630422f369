"""Students of many shapes, distilled alike on Things: which shape learns most in a given time of prediction?

    python benchmarks/shapes_learnt.py --json kdkit/course/measured/shapes-learnt.json

Each shape gets the learning rate that is best for it on validation images, as in ``kdkit.studies``, and five
students that learn from the teacher's soft targets. Then all shapes are timed in turns, one image at a time and 64 at
once. What stands in the JSON file is not trained again.
"""

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from kdkit import data, models, studies, zoo
from kdkit.data import files
from kdkit.measure import machine, metrics, profiling

WIDTHS, DEPTHS = (4, 8, 16, 24), (3, 4, 6, 9)
SHAPES = [(width, depth) for width in WIDTHS for depth in DEPTHS]
SETTING = replace(studies.SETTINGS["things"]["full"], students=tuple(SHAPES))
BATCHES = (1, 64)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    things, teacher = data.load("things"), zoo.load("things-teacher")
    about = {"experiment": "shapes", "settings": {"images": SETTING.images, "epochs": SETTING.epochs}}
    about |= {"data_fingerprint": things.train.fingerprint, "teacher": models.fingerprint(teacher)}
    about |= {"rates": studies.RATES, "temperature": studies.TEMPERATURE, "device": "cpu"}
    ledger = studies.Ledger(
        {**about, "versions": machine.versions()}, options.json, say=lambda row: print(row, flush=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        teacher_test = metrics.predict(teacher, things.test.images)
        comparison = studies.Comparison("shapes", SETTING, things, teacher, teacher_test, folder, ledger)
        for shape in SHAPES:
            rate = comparison.tune(shape, "soft", None)
            for seed in range(options.seeds):
                comparison.row(shape, "soft", None, seed, rate)
    load = profiling.load()  # before the times are taken; while students learn it does not matter
    result = {**ledger.about, "load": load, "times": times(things.test.images, options.rounds), "rows": ledger.rows}
    print("\n".join(table(result)))
    if options.json:
        with files.replacing(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


def times(images, rounds):
    """Seconds of each shape, round by round, for each size of batch."""
    found = []
    for count in BATCHES:
        calls = {shape: profiling.predicting(models.student(*shape), images[:count]) for shape in SHAPES}
        for (width, depth), taken in profiling.latency(calls, rounds).items():
            found.append({"width": width, "depth": depth, "batch": count, "seconds": taken.values})
    return found


def table(result):
    """What was measured, as lines of Markdown: means over seeds, medians over rounds."""
    yield "| student | peak rate | test accuracy | lowest and highest | ms for 1 picture | ms for 64 |"
    yield "|---|---|---|---|---|---|"
    rates = {row["student"]: row["lr"] for row in result["rows"] if row["seed"] != studies.TUNING_SEED}
    for width, depth in SHAPES:
        name = f"{width}x{depth}"
        seeds = studies.by_seed(result, "shapes", name, "soft")
        found = f"{statistics.mean(seeds):.2%} | {min(seeds):.1%}, {max(seeds):.1%}"
        took = [row["seconds"] for row in result["times"] if (row["width"], row["depth"]) == (width, depth)]
        times = " | ".join(f"{1000 * statistics.median(seconds):.2f}" for seconds in took)
        yield f"| {name} | {rates[name]} | {found} | {times} |"


if __name__ == "__main__":
    main()
