"""What makes a student worse than it could be: failures, each caused on purpose, each beside its cure.

    python benchmarks/failures.py --json kdkit/course/measured/failures.json

A setting has arms. Each arm gets three tries on validation images by the student of one more seed: the same three
learning rates for all. Where the best of the three is the smallest or the largest, one more beyond it is tried and may
win. Then its students (five; eight or three in some settings) with the best. All students of a seed begin with the same
weights and see the same images in the same order and views. Where teachers are trained, each seed has its own. The last
epoch counts; no choice looks at the test images. CIFAR-10 must be on the disk (KDKIT_DATA). What stands in the JSON
file is not trained again. The lessons stand in ``kdkit.course.lessons``.
"""

import argparse
import functools
import statistics
from pathlib import Path

from kdkit import studies, training, zoo
from kdkit.course import failures as cause
from kdkit.course import lessons
from kdkit.measure import machine, metrics
from kdkit.studies import failures
from kdkit.training import images as recipe

RATES = (0.025, 0.08, 0.25, 0.75, 2.25)  # the first and the last where the best of the others is beside them
TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
OWN = 300  # at most so many of its training images is a student asked about


class Study:
    """The students of one setting: trained when they are asked for, and kept in ``ledger``."""

    def __init__(self, name, ledger):
        self.name, self.setting, self.ledger = name, lessons.SETTINGS[name], ledger

    def run(self):
        """The tries of all arms, then seed by seed what the teachers are worth and what became of the students."""
        for arm in self.setting.arms:
            self.tune(arm)
        for seed in range(self.setting.seeds):
            for name, teacher in self.setting.teachers.items():
                key = {"setting": self.name, "teacher": name, "seed": seed}
                self.ledger.row(key, lambda teacher=teacher, seed=seed: self.asked(teacher(seed), seed))
            for arm in self.setting.arms:
                self.row(arm, self.chosen(arm), seed)

    def tune(self, arm):
        """Three tries on validation images; a fourth where the best of them has no other rate on one side."""
        for rate in RATES[1:-1]:
            self.row(arm, rate, studies.TUNING_SEED)
        beyond = {RATES[1]: RATES[0], RATES[-2]: RATES[-1]}.get(self.chosen(arm))
        if beyond is not None:
            self.row(arm, beyond, studies.TUNING_SEED)

    def chosen(self, arm):
        return failures.chosen({"rows": self.ledger.rows}, self.name, arm)

    def row(self, arm, rate, seed):
        """What became of one student: a dict. Trained now, unless it has been."""
        key = {"setting": self.name, "arm": arm, "steps": self.setting.steps, "lr": rate, "seed": seed}
        return self.ledger.row(key, lambda: self.known(key) or self.train(arm, rate, seed))

    def known(self, key):
        """What became of the same student in another setting, if the arm stands there, too, and was trained."""
        setting, arm = lessons.SAME.get((self.name, key["arm"]), (None, None))
        wanted = key | {"setting": setting, "arm": arm}
        found = next((row for row in self.ledger.rows if wanted.items() <= row.items()), {})
        return {name: value for name, value in found.items() if name not in key}

    def train(self, arm, rate, seed):
        lesson, tuning = self.setting.arms[arm](seed), seed == studies.TUNING_SEED
        watched = Watched(lesson.data, () if tuning else self.setting.checks)
        how = {"student": self.setting.student, "lr": rate, "seed": seed, "validate": watched}
        try:
            run = lessons.train(lesson, self.setting.steps, **how)
        except training.Diverged:
            return {"diverged": True, "val_accuracy" if tuning else "accuracy": 0.0}
        row = {"seconds": round(run.seconds, 1)} | watched.found
        if tuning:  # nothing that is tuned looks at the test images
            return row | {"val_accuracy": accuracy(run.student, lesson.data.val)}
        return rounded(row | judged(run.student, lesson))

    def asked(self, teacher, seed):
        """How accurate a teacher is, also on the images it learnt from; what its soft targets say beyond the class."""
        own, test = self.setting.taught(seed).train, lessons.judges()[1]
        said = metrics.predict(teacher, own.images)
        row = {"accuracy": accuracy(teacher, test), "own_accuracy": metrics.accuracy(said, own.labels)}
        row["confidence"] = said.softmax(1).amax(1).mean().item()
        bits = {f"beyond_class at {T:g}": metrics.beyond_class(said, own.labels, T) for T in TEMPERATURES}
        return rounded(row | bits)


class Watched:
    """Notes the test accuracy after some steps. The rate goes on falling: these are not the ends of trainings."""

    def __init__(self, data, checks):
        self.test, self.steps, self.checks = data.test, len(data.train) // cause.BATCH, checks
        self.taken, self.found = 0, {}

    def __call__(self, student):
        self.taken += self.steps
        if self.taken in self.checks:
            self.found[f"after {self.taken}"] = accuracy(student, self.test)
        return {}


def judged(network, lesson):
    """All that is reported of a student: a dict."""
    test, val, own = lesson.data.test, lesson.data.val, lesson.data.train.images[:OWN]
    said = metrics.predict(network, test.images)
    fitted = cause.fitted_temperature(metrics.predict(network, val.images), val.labels)
    row = {"accuracy": metrics.accuracy(said, test.labels), "fitted_temperature": fitted}
    row["ece"] = metrics.expected_calibration_error(said, test.labels)
    row["ece_fitted"] = metrics.expected_calibration_error(said / fitted, test.labels)
    peer = lesson.peer or lesson.teacher
    if peer is None:
        return row
    answers = taught(peer, lesson.data)
    errs = answers.argmax(1) != test.labels
    row["agreement"] = metrics.agreement(said, answers)
    row["own_agreement"] = metrics.agreement(metrics.predict(network, own), metrics.predict(peer, own))
    row["teacher_accuracy"] = metrics.accuracy(answers, test.labels)
    row["right_where_teacher_errs"] = metrics.accuracy(said[errs], test.labels[errs])
    return row


@functools.lru_cache(16)
def taught(teacher, splits):
    return metrics.predict(teacher, splits.test.images)


def accuracy(network, part):
    return metrics.accuracy(metrics.predict(network, part.images), part.labels)


def rounded(row):
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in row.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="*", default=list(lessons.SETTINGS), choices=list(lessons.SETTINGS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ledger = studies.Ledger(about(), options.json, say=lambda row: print(row, flush=True))
    for name in options.settings:
        Study(name, ledger).run()


def table(result):
    """What was measured, as lines of Markdown: the claims, then setting by setting teachers and students."""
    yield from claims(result)
    for setting in failures.settings(result):
        yield from ("", f"{setting}: {steps(result, setting)} steps", "")
        worth = failures.teachers(result, setting)
        if worth:
            yield "| teacher | accuracy | on its own images | confidence there | bits beyond the class, T = 1 | T = 4 |"
            yield "|---|---|---|---|---|---|"
        for name, row in worth.items():
            shares = " | ".join(f"{row[measure]:.2%}" for measure in ("accuracy", "own_accuracy", "confidence"))
            bits = " | ".join(f"{row[f'beyond_class at {T}']:.3f}" for T in (1, 4))
            yield f"| {name} | {shares} | {bits} |"
        if worth:
            yield ""
        yield from students(result, setting)


def claims(result):
    """Each claim, the difference in points, and whether it is shown; then the papers, and what they say."""
    compared = {claim: failures.found(result, claim) for claim in failures.CLAIMS}
    compared = {claim: pair for claim, pair in compared.items() if pair is not None}
    yield "| failure | setting | compared | points | shown? | published |"
    yield "|---|---|---|---|---|---|"
    for claim, pair in compared.items():
        points = f"{100 * pair.mean:+.2f} ({100 * pair.low:+.2f} to {100 * pair.high:+.2f})"
        asked = f"{claim.arm} against {claim.baseline}{failures.measures(claim)}"
        paper = claim.published.partition(" (arXiv")[0]
        yield f"| {claim.failure} | {claim.setting} | {asked} | {points} | {failures.shown(pair)} | {paper} |"
    yield ""
    for published in dict.fromkeys(claim.published for claim in compared if "arXiv" in claim.published):
        yield f"- {published}."


def students(result, setting):
    """The arms of a setting: the rate chosen, how many students, and the means of what was measured."""
    found = [row for row in result["rows"] if row["setting"] == setting and "accuracy" in row and "arm" in row]
    checks = [name for name in found[0] if name.startswith("after ")] if found else []
    heads = ["arm", "rate", "students", *checks, "accuracy", "agrees", "on its own", "right where it errs"]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for arm in failures.arms(result, setting):
        cells = [f"{failures.chosen(result, setting, arm):g}", str(len(failures.by_seed(result, setting, arm)))]
        for measure in (*checks, "accuracy", "agreement", "own_agreement", "right_where_teacher_errs"):
            values = failures.by_seed(result, setting, arm, measure).values()
            cells.append(f"{statistics.mean(values):.2%}" if values else "-")
        yield f"| {arm} | {' | '.join(cells)} |"


def steps(result, setting):
    return next(row["steps"] for row in result["rows"] if row["setting"] == setting and "steps" in row)


def about():
    """What all rows have in common: a dict. Rows of other settings are other results."""
    optimizer = {"momentum": recipe.MOMENTUM, "weight_decay": recipe.WEIGHT_DECAY, "warm_up": recipe.WARM_UP}
    optimizer["longest_gradient"] = recipe.MAX_GRAD_NORM
    settings = {"batch_size": cause.BATCH, "seeds": lessons.SEEDS, "judges": lessons.PER_CLASS, "optimizer": optimizer}
    found = {"experiment": "failures", "settings": settings, "rates": RATES}
    found |= {"teacher": zoo.card("things-teacher")["sha256"]}
    return found | {"device": "cpu", "versions": machine.versions()}


if __name__ == "__main__":
    main()
