"""How much of a teacher's softmax a student of text needs: all of it, its k likeliest tokens, with a tail or without.

    python benchmarks/top_k_text.py --json kdkit/course/measured/top-k-text.json

The teacher is the small GPT that writes as Python's documentation does (``python-gpt``). Students of two kinds: half of
its layers, made of its own weights, and a network of one layer and width 32 with random weights. All arms of a seed see
the same texts in the same order, for equally many steps. Each arm gets three tries of its learning rate by one more
seed; the KL to the teacher on validation texts decides. Then five seeds. *alone*: the teacher's k likeliest tokens,
renormalised, all others 0; *among themselves*: the student's are renormalised, too. What stands in the JSON file is not
trained again. Seconds are of one thread, while it computes.
"""

import argparse
import statistics
import time
from itertools import product
from pathlib import Path

from kdkit import models, studies, zoo
from kdkit.course import english
from kdkit.course.english import ARMS
from kdkit.data.seeds import generator
from kdkit.measure import machine
from kdkit.models import gpt
from kdkit.training import generators as recipe

import torch

STEPS, BATCH, JUDGED = 40, 8, 64  # steps of a student, texts a step, texts that judge it
RATES = {"half": (1.25e-4, 5e-4, 2e-3), "32x1": (2e-3, 8e-3, 3.2e-2)}


class Study:
    """The students of one kind: trained when they are asked for, and kept in ``ledger``."""

    def __init__(self, name, ledger):
        self.name, self.ledger = name, ledger
        self.teacher = english.teacher()

    def run(self, seeds):
        """One that learns nothing, three tries for each arm, then the students of all arms, seed by seed."""
        key = {"student": self.name, "arm": studies.top_k.START, "seed": 0}
        self.ledger.row(key, lambda: self.judged(self.start(0)))
        for arm, rate in product(ARMS, RATES[self.name]):
            self.row(arm, rate, studies.TUNING_SEED)
        for seed, arm in product(range(seeds), ARMS):
            rate = studies.top_k.chosen({"rows": self.ledger.rows}, self.name, arm)
            self.row(arm, rate, seed)

    def row(self, arm, rate, seed):
        """What became of one student: a dict. Trained now, unless it has been."""
        key = {"student": self.name, "arm": arm, "lr": rate, "seed": seed}
        return self.ledger.row(key, lambda: self.trained(arm, rate, seed))

    def trained(self, arm, rate, seed):
        train, val, _ = english.corpus()
        drawn = torch.randperm(len(train.input_ids), generator=generator(seed))[: STEPS * BATCH]
        student, how = self.start(seed), english.divergence(arm)
        teacher, began = None if how == "labels" else self.teacher, time.process_time()
        settings = {"teacher": teacher, "divergence": how, "epochs": 1, "batch_size": BATCH, "lr": rate, "seed": seed}
        run = recipe.train(student, train.at(drawn), **settings, progress=False)
        found = {"steps": run.settings["steps"], "seconds": round(time.process_time() - began, 2)}
        if seed == studies.TUNING_SEED:
            return found | {"val_kl": rounded(recipe.judge(student, val.at(slice(JUDGED)), teacher=self.teacher)["kl"])}
        return found | self.judged(student)

    def judged(self, student):
        found = recipe.judge(student, english.corpus()[2].at(slice(JUDGED)), teacher=self.teacher)
        return {name: rounded(value) for name, value in found.items()}

    def start(self, seed):
        """A student before it has seen a text."""
        if self.name == "half":
            return gpt.student(self.teacher)
        sizes = {name: size for name, size in self.teacher.architecture.items() if name != "family"}
        return gpt.gpt(**sizes | {"width": 32, "depth": 1}, seed=seed)


def rounded(value):
    return float(f"{value:.5g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--students", nargs="*", default=list(RATES), choices=list(RATES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ledger = studies.Ledger(about(), options.json, say=lambda row: print(row, flush=True))
    for name in options.students:
        Study(name, ledger).run(options.seeds)


def table(result):
    """Means over seeds, and paired differences from "full", with 95 % intervals: lines of Markdown."""
    vocab_size = zoo.card(english.NAME)["architecture"]["vocab_size"]
    for student in RATES:
        if not studies.top_k.arms(result, student):
            continue
        weights = models.count_parameters(Study(student, None).start(0))
        yield f"student {student}: {weights:,} parameters, {len(studies.top_k.by_seed(result, student, 'full'))} seeds"
        yield ""
        yield "| learnt from | bytes a token | rate | KL to the teacher | more than full | perplexity | s |"
        yield "|---|---|---|---|---|---|---|"
        start = studies.top_k.start(result, student)
        yield f"| {studies.top_k.START} | - | - | {start['kl']:.3f} | - | {start['perplexity']:.0f} | - |"
        for arm in studies.top_k.arms(result, student):
            kl, perplexity, seconds = (
                statistics.mean(studies.top_k.by_seed(result, student, arm, name).values())
                for name in ("kl", "perplexity", "seconds")
            )
            pair = studies.top_k.change(result, student, arm, "full")
            more = "-" if arm == "full" else f"{pair.mean:+.3f} ({pair.low:+.3f} to {pair.high:+.3f})"
            rate = f"{english.stored_bytes(arm, vocab_size):,} | {studies.top_k.chosen(result, student, arm):g}"
            yield f"| {arm} | {rate} | {kl:.3f} | {more} | {perplexity:.0f} | {seconds:.1f} |"
        yield ""


def about():
    """What all rows have in common: a dict. Rows of other settings are other results."""
    optimizer = {"betas": recipe.BETAS, "weight_decay": recipe.WEIGHT_DECAY, "warm_up": recipe.WARM_UP}
    settings = {"steps": STEPS, "batch_size": BATCH, "judged": JUDGED, "optimizer": optimizer}
    settings |= {"longest_gradient": recipe.MAX_GRAD_NORM}
    found = {"experiment": "top-k-text", "settings": settings, "arms": ARMS, "rates": RATES}
    found |= {"teacher": zoo.card(english.NAME)["sha256"], "device": "cpu"}
    return found | {"versions": machine.versions()}


if __name__ == "__main__":
    main()
