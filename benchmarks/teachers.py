"""A better teacher, or more steps? Students of the texts of two teachers, for two lengths, on sums.

    python benchmarks/teachers.py --json kdkit/course/measured/generators-teachers.json

Both teachers have the same size and recipe: the one that ships had 50 epochs, the other one 12, with a schedule of its
own. Each writes 12,800 texts to the same prompts, and students learn their tokens from random weights, for 600 steps
or for 2,400. Five seeds, each with equal first weights and order for all four arms, and one learning rate for all, that
of the starts in ``generators.py``. What stands in the JSON file is not trained again. Seconds are of one thread, while
it computes.
"""

import argparse
import functools
import statistics
import time
from itertools import product
from pathlib import Path

from kdkit import studies, zoo
from kdkit.data import sums
from kdkit.data.seeds import generator
from kdkit.measure import exact, machine
from kdkit.models import gpt
from kdkit.studies import teachers
from kdkit.training import generators as recipe

import torch

TEACHERS = {teachers.WEAK: 12, teachers.STRONG: 50}  # epochs; the second one ships
LENGTHS = {teachers.SHORT: 6, teachers.LONG: 24}  # epochs of the students
POOL, POOL_SEED, BATCH = 12_800, 5, 128
RATE, SEEDS = 1e-2, 5


@functools.cache
def teacher(name):
    if name == teachers.STRONG:
        return zoo.load("sums-teacher")
    how = zoo.card("sums-teacher")["settings"]
    network = gpt.gpt(how["width"], how["depth"], len(sums.CHARACTERS), sums.LENGTH, seed=how["seed"])
    same = {key: how[key] for key in ("batch_size", "lr", "seed")}
    return recipe.train(network, sums.sentences(), epochs=TEACHERS[name], progress=False, **same).student


@functools.cache
def pool(name):
    """What this teacher answers to prompts that are as frequent as they have right answers."""
    drawn, texts = generator(POOL_SEED), sums.sentences()
    index = torch.randint(len(texts.input_ids), (POOL,), generator=drawn)
    return gpt.write(teacher(name), texts.at(index).prompts, sums.LENGTH - sums.PROMPT_LENGTH, drawn)


def judged(network):
    texts = sums.sentences()
    found = exact.judge(exact.log_probabilities(network, texts), sums.totals(texts.input_ids))
    return {measure: float(f"{value:.5g}") for measure, value in found.items()}


def trained(name, length, seed):
    student, began = gpt.gpt(32, 1, len(sums.CHARACTERS), sums.LENGTH, seed=seed), time.process_time()
    recipe.train(student, pool(name), epochs=LENGTHS[length], batch_size=BATCH, lr=RATE, seed=seed, progress=False)
    return {**judged(student), "seconds": round(time.process_time() - began, 1)}


def run(ledger):
    for name in TEACHERS:
        ledger.row({"about": name}, lambda name=name: judged(teacher(name)))
    for seed, (name, length) in product(range(SEEDS), product(TEACHERS, LENGTHS)):
        row(ledger, name, length, seed)


def row(ledger, name, length, seed):
    pool(name)  # its seconds are no student's
    return ledger.row({"teacher": name, "steps": length, "seed": seed}, lambda: trained(name, length, seed))


def table(result):
    """What was measured, as lines of Markdown."""
    yield "| teacher | valid | covers | student | valid, mean | lowest | highest | covers, mean |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, length in product(TEACHERS, LENGTHS):
        of_teacher = next(each for each in result["rows"] if each.get("about") == name)
        valid, covers = (teachers.by_seed(result, (name, length), measure) for measure in ("validity", "coverage"))
        yield (
            f"| {name} | {of_teacher['validity']:.3f} | {of_teacher['coverage']:.3f} | {length} | "
            f"{statistics.mean(valid):.3f} | {min(valid):.3f} | {max(valid):.3f} | {statistics.mean(covers):.3f} |"
        )
    yield ""
    yield "| what it gains | validity | coverage |"
    yield "|---|---|---|"
    validity, coverage = (teachers.gains(result, measure) for measure in ("validity", "coverage"))
    for question, pair in validity.items():
        yield f"| {question} | {pair.verdict} | {coverage[question].verdict} |"


def about():
    """What all rows have in common: a dict."""
    settings = {"pool": POOL, "batch_size": BATCH, "teachers": TEACHERS, "lengths": LENGTHS, "student": "32x1"}
    settings |= {"lr": RATE}
    found = {"experiment": "generators' teachers", "settings": settings, "device": "cpu"}
    return found | {"teacher": zoo.card("sums-teacher")["sha256"], "versions": machine.versions()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run(studies.Ledger(about(), options.json, say=lambda row: print(row, flush=True)))


if __name__ == "__main__":
    main()
