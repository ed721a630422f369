"""Networks that write: whose prefixes, which divergence, and what it costs, where everything can be counted.

    python benchmarks/generators.py --json kdkit/course/measured/generators.json

*sums*: students write a sum that makes n (``kdkit.data.sums``); the probability of each of the 9,801 right sentences is
computed. All arms of a seed go on from one start, which has learnt the teacher's samples for a while; they see the same
prompts in the same order. Each arm gets three tries of its learning rate by one more seed, and the smallest sum of both
KLs between teacher and student decides. Then five seeds. Arms of equal length ask the teacher equally often; "longer"
is as long, in seconds, as the arms in which the student writes. *brackets* and *way back* are exact and small
(``kdkit.course``). What stands in the JSON file is not trained again. Seconds are of one thread, while it computes.
"""

import argparse
import copy
import functools
import statistics
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

from kdkit import models, studies, zoo
from kdkit.course import brackets, way_back
from kdkit.data import sums
from kdkit.data.seeds import generator
from kdkit.measure import exact, machine
from kdkit.models import gpt
from kdkit.training import generators as recipe

import torch

POOL, POOL_SEED = 12_800, 5  # texts of the teacher: 100 steps an epoch
BATCH = 128
STUDENTS = {"32x1": (32, 1), "16x1": (16, 1)}  # width and depth
START = {"epochs": 12, "lr": 1e-2}
RATES = (5e-4, 2e-3, 8e-3)
SHORT = 2  # epochs of an arm


@dataclass(frozen=True)
class Arm:
    """One way to go on: what is learnt there, for how many ``epochs``, with the rate of which arm's tries."""

    divergence: str
    own_share: float = 0.0
    greedy: bool = False
    epochs: int = SHORT
    rate_of: str = ""


ARMS = {
    "labels": Arm("labels"),
    "greedy answers": Arm("labels", greedy=True),
    "forward": Arm("forward"),
    "reverse": Arm("reverse"),
    "jensen-shannon": Arm("jensen-shannon"),
    "own, forward": Arm("forward", 1.0),
    "own, reverse": Arm("reverse", 1.0),
    "half own, reverse": Arm("reverse", 0.5),
    "own, policy gradient": Arm("policy gradient", 1.0),
    "own, reward to go": Arm("reward to go", 1.0),
    "labels, longer": Arm("labels", epochs=7, rate_of="labels"),
    "forward, longer": Arm("forward", epochs=3, rate_of="forward"),
    "reverse, longer": Arm("reverse", epochs=3, rate_of="reverse"),
}
BRACKETS = [
    ("forward", "teacher"),
    ("reverse", "teacher"),
    ("jensen-shannon", "teacher"),
    ("forward", "own"),
    ("jensen-shannon", "own"),
    ("reverse", "own"),
    ("reverse", "whole text"),
]
BRACKET_SEEDS, WAY_BACK_SEEDS = 3, 5
PAIRS = (
    ("teacher calls", "own, reverse", "reverse"),
    ("teacher calls", "half own, reverse", "reverse"),
    ("time", "own, reverse", "reverse, longer"),
    ("time", "own, reward to go", "reverse, longer"),
    ("time", "own, reverse", "labels, longer"),
)
MEASURES = ("validity", "coverage", "forward_kl", "reverse_kl")
MOVES = (5, 10, 20, 40)  # before which of them the student is off the track
WAY_BACK = {  # prefixes, KL and whether the teacher knows the way back, of the second half of the steps
    "teacher's": ("teacher", "forward", True),
    "own": ("own", "forward", True),
    "own, reverse": ("own", "reverse", True),
    "own, teacher lost there": ("own", "forward", False),
}


class Sums:
    """The students of one size: trained when they are asked for, and kept in ``ledger``."""

    def __init__(self, name, ledger):
        self.name, self.ledger = name, ledger
        self.teacher = zoo.load("sums-teacher")
        self.sentences = sums.sentences()
        self.totals = sums.totals(self.sentences.input_ids)
        self.log_teacher = exact.log_probabilities(self.teacher, self.sentences)

    def run(self, seeds):
        """Three tries for each arm, then the students of all arms, seed by seed."""
        self.ledger.row({"about": "teacher"}, lambda: exact.judge(self.log_teacher, self.totals, self.log_teacher))
        tuned = [arm for arm, how in ARMS.items() if not how.rate_of]
        for arm, rate in product(tuned, RATES):
            self.row(arm, rate, studies.TUNING_SEED)
        for seed in range(seeds):
            self.ledger.row(
                self.key(studies.generators.START, START["lr"], seed), lambda seed=seed: self.judged(self.start(seed))
            )
            for arm in ARMS:
                self.row(
                    arm,
                    studies.generators.chosen({**self.ledger.about, "rows": self.ledger.rows}, self.name, arm),
                    seed,
                )

    def key(self, arm, rate, seed):
        return {"setting": "sums", "student": self.name, "arm": arm, "lr": rate, "seed": seed}

    def row(self, arm, rate, seed):
        """What became of one student: a dict. Trained now, unless it has been."""
        return self.ledger.row(self.key(arm, rate, seed), lambda: self.trained(ARMS[arm], rate, seed))

    def trained(self, arm, rate, seed):
        student, began = copy.deepcopy(self.start(seed)), time.process_time()
        run = recipe.train(
            student,
            pool(self.teacher, arm.greedy),
            teacher=None if arm.divergence == "labels" else self.teacher,
            divergence=arm.divergence,
            own_share=arm.own_share,
            epochs=arm.epochs,
            batch_size=BATCH,
            lr=rate,
            seed=100 + seed,
            progress=False,
        )
        seconds = round(time.process_time() - began, 2)
        return {
            **self.judged(student),
            **recipe.cost(run),
            "steps": run.settings["steps"] * arm.epochs,
            "seconds": seconds,
        }

    @functools.lru_cache(maxsize=1)  # noqa: B019  one study lives as long as the program
    def start(self, seed):
        """The student that all arms of a seed go on from."""
        student = gpt.gpt(*STUDENTS[self.name], len(sums.CHARACTERS), sums.LENGTH, seed=seed)
        recipe.train(student, pool(self.teacher), batch_size=BATCH, seed=seed, progress=False, **START)
        return student

    def judged(self, student):
        found = exact.judge(exact.log_probabilities(student, self.sentences), self.totals, self.log_teacher)
        return {name: float(f"{value:.5g}") for name, value in found.items()}


@functools.cache
def pool(teacher, greedy=False):
    """What the teacher answers to prompts that are as frequent as they have right answers."""
    drawn, texts = generator(POOL_SEED), sums.sentences()
    index = torch.randint(len(texts.input_ids), (POOL,), generator=drawn)
    return gpt.write(teacher, texts.at(index).prompts, sums.LENGTH - sums.PROMPT_LENGTH, drawn, greedy=greedy)


def run_brackets(ledger):
    """Each loss from the forward fit of the same seed; that one from small random scores."""
    for lost, seed in product(("any token", "ends"), range(BRACKET_SEEDS)):
        first = functools.cache(lambda lost=lost, seed=seed: brackets.fit("forward", "teacher", lost=lost, seed=seed))
        for how, prefixes in BRACKETS:

            def measured(how=how, prefixes=prefixes, lost=lost, first=first):
                goes_on = (how, prefixes) != BRACKETS[0]
                scores = brackets.fit(how, prefixes, lost=lost, start=first()) if goes_on else first()
                found = brackets.judge(scores, lost)._asdict()
                return {name: float(f"{value:.5g}") for name, value in found.items()}

            ledger.row({"setting": "brackets", "lost": lost, "how": how, "prefixes": prefixes, "seed": seed}, measured)


def run_way_back(ledger):
    """As many steps for all: 120 on the teacher's prefixes, then 120 as the arm has it."""
    for seed in range(WAY_BACK_SEEDS):
        first = functools.cache(lambda seed=seed: way_back.fit("teacher", seed=seed))
        for arm, (prefixes, how, knows) in WAY_BACK.items():

            def measured(prefixes=prefixes, how=how, knows=knows, first=first):
                off = way_back.off_the_track(way_back.fit(prefixes, how=how, knows=knows, start=first()))
                return {"off": [float(f"{off[move - 1]:.4g}") for move in MOVES]}

            ledger.row({"setting": "way back", "arm": arm, "seed": seed}, measured)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--students", nargs="*", default=list(STUDENTS), choices=list(STUDENTS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ledger = studies.Ledger(about(), options.json, say=lambda row: print(row, flush=True))
    run_way_back(ledger)
    run_brackets(ledger)
    for name in options.students:
        Sums(name, ledger).run(options.seeds)


def table(result):
    """What was measured, as lines of Markdown."""
    for student in STUDENTS:
        if studies.generators.arms(result, student):
            yield from sums_table(result, student)
    yield from brackets_table(result)
    yield from way_back_table(result)


def sums_table(result, student):
    """Means over seeds, and paired differences from "forward", with 95 % intervals."""
    seeds = len(studies.generators.by_seed(result, student, "forward", "validity"))
    width, depth = STUDENTS[student]
    weights = models.count_parameters(gpt.gpt(width, depth, len(sums.CHARACTERS), sums.LENGTH))
    yield f"sums, student {student}: {weights:,} parameters, {seeds} seeds"
    yield ""
    yield "| arm | rate | validity | against forward | coverage | against forward | KL, forward | reverse | steps | s |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for arm in (studies.generators.START, *studies.generators.arms(result, student)):
        means = {
            name: statistics.mean(studies.generators.by_seed(result, student, arm, name).values()) for name in MEASURES
        }
        shown = f"{means['forward_kl']:.3f} | {means['reverse_kl']:.3f}"
        if arm == studies.generators.START:
            yield f"| start | - | {means['validity']:.3f} | - | {means['coverage']:.3f} | - | {shown} | - | - |"
            continue
        gains = [
            in_words(studies.generators.gain(result, student, arm, "forward", name))
            for name in ("validity", "coverage")
        ]
        cost = [
            statistics.mean(studies.generators.by_seed(result, student, arm, name).values())
            for name in ("steps", "seconds")
        ]
        yield (
            f"| {arm} | {studies.generators.chosen(result, student, arm):g} | {means['validity']:.3f} | {gains[0]} | "
            f"{means['coverage']:.3f} | {gains[1]} | {shown} | {cost[0]:.0f} | {cost[1]:.1f} |"
        )
    yield ""
    yield "| at equal | arm | against | validity | coverage |"
    yield "|---|---|---|---|---|"
    for what, arm, other in PAIRS:
        gains = [
            in_words(studies.generators.gain(result, student, arm, other, name)) for name in ("validity", "coverage")
        ]
        yield f"| {what} | {arm} | {other} | {' | '.join(gains)} |"
    yield ""


def in_words(pair):
    return "-" if not any(pair.differences) else f"{pair.mean:+.3f} ({pair.low:+.3f} to {pair.high:+.3f})"


def brackets_table(result):
    """Lowest and highest over the seeds where they differ."""
    yield "| brackets: divergence | prefixes | valid | forward KL | reverse KL | valid, where a lost teacher ends |"
    yield "|---|---|---|---|---|---|"
    for how, prefixes in BRACKETS:
        cells = []
        for lost, name in (
            ("any token", "valid"),
            ("any token", "forward_kl"),
            ("any token", "reverse_kl"),
            ("ends", "valid"),
        ):
            where = {"setting": "brackets", "lost": lost, "how": how, "prefixes": prefixes}
            found = [f"{row[name]:.2f}" for row in result["rows"] if where.items() <= row.items()]
            cells.append(min(found) if min(found) == max(found) else f"{min(found)} to {max(found)}")
        yield f"| {how} | {prefixes} | {' | '.join(cells)} |"
    yield ""


def way_back_table(result):
    """Means over the seeds."""
    yield f"| way back: prefixes | {' | '.join(f'off before move {move}' for move in MOVES)} |"
    yield "|---|---|---|---|---|"
    for arm in WAY_BACK:
        rows = [row["off"] for row in result["rows"] if row.get("setting") == "way back" and row["arm"] == arm]
        yield f"| {arm} | {' | '.join(f'{statistics.mean(values):.3f}' for values in zip(*rows, strict=True))} |"


def about():
    """What all rows have in common: a dict. Rows of other settings are other results."""
    optimizer = {"betas": recipe.BETAS, "weight_decay": recipe.WEIGHT_DECAY, "warm_up": recipe.WARM_UP}
    settings = {"pool": POOL, "batch_size": BATCH, "start": START, "optimizer": optimizer}
    settings |= {"longest_gradient": recipe.MAX_GRAD_NORM}
    arms = {name: {**asdict(arm), "rate_of": arm.rate_of or name} for name, arm in ARMS.items()}
    found = {"experiment": "generators", "settings": settings, "students": STUDENTS, "arms": arms, "rates": RATES}
    found |= {"teacher": zoo.card("sums-teacher")["sha256"], "device": "cpu"}
    return found | {"versions": machine.versions()}


if __name__ == "__main__":
    main()
