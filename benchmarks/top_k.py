"""What a student loses when the cache keeps only the teacher's k likeliest classes, and what the disk gains.

    python benchmarks/top_k.py --json kdkit/course/measured/top-k.json --folder runs/top-k

Students 8x3 on 10,000 images of CIFAR-10: the setting *cifar10* of ``benchmarks/beyond_logits.py``, with the rate that
plain distillation was tuned to there, for all arms. An arm differs from the others in nothing but what its cache keeps:
all logits in float32 (*dense*), or k values in half precision with their numbers, all other classes being one more.
With k = 9 of ten classes that one more is the tenth class itself: what that arm loses is what half precision costs.
With k = 10 the cache is the dense one, and the weights must be equal to the bit. The teacher is asked once. What
stands in the JSON file is not trained again.
"""

import argparse
import statistics
from dataclasses import replace
from itertools import product
from pathlib import Path

from kdkit import losses, models, studies, training, zoo
from kdkit.data import cifar10
from kdkit.data.views import Views
from kdkit.measure import machine, metrics
from kdkit.training import cache_files
from kdkit.training import images as recipe
from kdkit.training.entries import target

import torch

COMMAND = "python benchmarks/top_k.py --json kdkit/course/measured/top-k.json --folder runs/top-k"
TEACHER, STUDENT = "cifar10-teacher", (8, 3)
IMAGES, BATCH, EPOCHS, RATE = 10_000, 50, 4, 0.2
TEMPERATURE = 4.0
KEPT = (1, 2, 3, 5, 9, 10)
ARMS = ("dense", *KEPT)


def data():
    return replace(cifar10().first(IMAGES), views=Views(flip=True, shift=0))


class Study:
    """Students of all arms, each trained when it is asked for and kept in ``ledger``; caches lie in ``folder``."""

    def __init__(self, splits, teacher, folder, ledger):
        self.splits, self.ledger, self.folder = splits, ledger, folder
        self.dense = training.ViewCache(teacher, splits, folder / "dense.cache")
        self.fill()

    def fill(self):
        """Ask the teacher about every image in every view, in the batches that students learn from."""
        for number in range(self.splits.views.count):
            for batch in recipe.ImageBatches(self.splits, BATCH, 0, torch.device("cpu")).epoch(number):
                self.dense.outputs(batch.image, batch.view, batch.inputs)

    def cache(self, arm):
        if arm == "dense":
            return self.dense
        return self.dense.truncated(arm, TEMPERATURE, self.folder / f"{arm}.cache")

    def run(self, seeds):
        for arm in KEPT:
            self.ledger.row({"about": arm}, lambda arm=arm: self.about(arm))
        for arms in ARMS[:-1], ARMS[-1:]:  # the last, which is to be the first again, when the others are done
            for seed, arm in product(range(seeds), arms):
                self.ledger.row({"arm": arm, "seed": seed}, lambda arm=arm, seed=seed: self.train(arm, seed))

    def about(self, arm):
        """Bytes of a cache, and how much of the teacher's probability the k classes have at two temperatures."""
        cache = self.cache(arm)
        count, classes = len(self.splits.train) * self.splits.views.count + len(self.splits.val), 10
        size = cache_files.size(count, classes, arm)
        assert cache.path.stat().st_size == size.in_all
        logits = self.dense.val_logits()
        mass = {
            t: losses.top_k(logits, arm, t).log_probabilities.exp().sum(1).mean().item() for t in (1.0, TEMPERATURE)
        }
        return {"an_entry": size.an_entry, "in_all": size.in_all, "mass": list(mass.values()), "off": self.off(cache)}

    def off(self, cache):
        """By how much the soft term of an untrained student, T^2 KL, and its gradient lie off the dense ones."""
        batch = next(recipe.ImageBatches(self.splits, BATCH, 0, torch.device("cpu")).epoch(0))
        student = models.student(*STUDENT, seed=0)
        training.fit_input(student, self.splits)
        found = []
        for one in self.dense, cache:
            logits = student(batch.inputs).detach().requires_grad_()
            taught = target(one.outputs(batch.image, batch.view, None), TEMPERATURE)
            soft = losses.kd_terms(logits, taught, temperature=TEMPERATURE).soft
            found.append((soft.item(), torch.autograd.grad(soft, logits)[0]))
        (value, slope), (cut, other) = found
        return {"value": abs(cut / value - 1), "gradient": ((other - slope).norm() / slope.norm()).item()}

    def train(self, arm, seed):
        student = models.student(*STUDENT, seed=seed)
        taught = {"teacher": self.dense.teacher, "cache": self.cache(arm), "temperature": TEMPERATURE}
        schedule = {"epochs": EPOCHS, "batch_size": BATCH, "lr": RATE, "seed": seed}
        run = training.train(student, self.splits, progress=False, **taught, **schedule)
        logits, labels = metrics.predict(student, self.splits.test.images), self.splits.test.labels
        return {
            "accuracy": metrics.accuracy(logits, labels),
            "ece": metrics.expected_calibration_error(logits, labels),
            "weights": models.fingerprint(student)[:16],
            "seconds": round(run.seconds, 1),
        }


def page(result):
    """The section of the page of measured results, as lines of Markdown."""
    kept = {row["about"]: row for row in result["rows"] if "about" in row}
    imagenet = 1_281_167 * 50 + 50_000
    yield from ("## What a cache of the k likeliest classes loses", "", f"    {COMMAND}", "")
    seeds = len({row["seed"] for row in result["rows"] if "arm" in row})
    yield (
        f"Students 8x3, {IMAGES:,} images of CIFAR-10 (JPEG copies) in two views, {EPOCHS} epochs in batches of "
        f"{BATCH}, T = {TEMPERATURE:g}, weights 0.9 and 0.1, {seeds} seeds: the setting *cifar10* of *Beyond logits*, "
        f"with the rate {RATE:g} that kd was tuned to there; it was not tuned anew for each k. The dense arm are the "
        "students of that table. An arm differs in nothing but what its cache keeps: k log-probabilities in half "
        "precision with their numbers, and all other classes as one more. Means; in the last column the paired "
        "difference in points with its 95 % interval."
    )
    yield from ("", *_table(result), "")
    yield (
        "*Mass*: the teacher's probability in the k classes, on validation images. *Gradient off*: of the soft term's "
        "gradient for an untrained student, |difference| / |dense|. With k = 9 the one more is the tenth class itself: "
        f"what is off there, {kept[9]['off']['gradient']:.1g}, is what half precision costs, and its last column what "
        "so little makes of a student after 800 steps: of such a size is chance here. With k = 10 the file is the "
        "dense one, in float32, and the students are the same, to the bit."
    )
    dense, cut = (cache_files.size(imagenet, 1000, k) for k in (None, 20))
    yield from ("", f"ImageNet (1,281,167 images in 50 views, 50,000 to validate), dense: {dense}; k = 20: {cut}.")


def _table(result):
    rows = result["rows"]
    about = {row["about"]: row for row in rows if "about" in row}
    by_arm = {arm: [row for row in rows if row.get("arm") == arm] for arm in ARMS}
    yield (
        "| kept | bytes an entry | cache, MB | share | mass at T = 1 | at T = 4 | gradient off | test accuracy | "
        "against dense |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for arm in ARMS:
        kept = about[10 if arm == "dense" else arm]
        size = f"{kept['an_entry']} | {kept['in_all'] / 1e6:.2f} | {kept['in_all'] / about[10]['in_all']:.2f}"
        mass = " | ".join(f"{share:.3f}" for share in kept["mass"])
        accuracy = statistics.mean(row["accuracy"] for row in by_arm[arm])
        name = f"k = {arm}" if arm in KEPT else arm
        against = "-" if arm == "dense" else _against(by_arm[arm], by_arm["dense"])
        yield f"| {name} | {size} | {mass} | {kept['off']['gradient']:.2g} | {accuracy:.2%} | {against} |"


def _against(rows, dense):
    if [row["weights"] for row in rows] == [row["weights"] for row in dense]:
        return "equal to the bit"
    pair = metrics.paired_interval([row["accuracy"] for row in rows], baseline=[row["accuracy"] for row in dense])
    return f"{100 * pair.mean:+.2f} ({100 * pair.low:+.2f} to {100 * pair.high:+.2f})"


def about():
    """What all rows have in common: a dict."""
    settings = {"images": IMAGES, "batch_size": BATCH, "epochs": EPOCHS, "rate": RATE, "student": STUDENT, "kept": KEPT}
    found = {"experiment": "top-k", "settings": settings, "temperature": TEMPERATURE}
    found |= {"teacher": zoo.card(TEACHER)["sha256"], "device": "cpu", "versions": machine.versions()}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("runs/top-k"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ledger = studies.Ledger(about(), options.json, say=lambda row: print(row, flush=True))
    Study(data(), zoo.load(TEACHER), options.folder, ledger).run(options.seeds)
    print("\n".join(page({"rows": ledger.rows})))


if __name__ == "__main__":
    main()
