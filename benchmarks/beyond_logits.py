"""What features, relations and other losses of logits add to plain distillation, each tuned as often as the others.

    python benchmarks/beyond_logits.py --json kdkit/course/measured/beyond-logits.json

Every method gets six tries on validation images, by the students of one more seed: three learning rates with the weight
of its paper, then three other weights with the best of these rates. Labels alone and plain distillation, which have no
weight to tune, get six rates; "kd, tuned" gives plain distillation the same six tries as the others. If the best of the
six has the smallest or the largest of its rates, one beyond it is tried, too. Then five students each, with the best;
at last five with the best rate for the paper's weight, where that is another. All students of a seed begin with the
same weights and see the same images in the same order and views. The last epoch counts, and what is tuned never looks
at the test images. The settings that are twice as long, or have all images, are not tuned, but take what was best in
the smaller one. What stands in the JSON file is not trained again.
"""

import argparse
import functools
import re
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kdkit import losses, models, studies, training, zoo
from kdkit.data import cifar10, things
from kdkit.data.images import ImageSet, Splits
from kdkit.data.views import Views
from kdkit.measure import machine, metrics, profiling
from kdkit.studies import methods
from kdkit.training import images as recipe
from kdkit.training.step import step

import torch
from torch import nn

LAYERS = {"middle": "stages.1", "last": "stages.2"}
STUDENT = (8, 3)
BATCH = 50
RATES = (0.03, 0.1, 0.3, 0.9, 2.7)  # the first and the last only where the best of the others is beside it
FINER_RATES = (0.03, 0.1, 0.2, 0.3, 0.5, 0.9, 1.5, 4.5)  # so here, too
FACTORS = (1 / 25, 1 / 5, 5)  # of the paper's weight
SEATS = ("chair", "armchair", "sofa", "stool")
TEACHERS = {"things": "things-teacher", "cifar10": "cifar10-teacher"}
SEEDS = {"train": 71, "val": 72, "test": 73, "teacher": 74}


def pooled(maps):
    """Maps ``[B, C, H, W]`` as the classifier sees them: the largest value of each channel, ``[B, C]``."""
    return maps.amax(dim=(2, 3))


class Hint(nn.Module):
    """A loss of two features that a projector has made alike in shape."""

    def __init__(self, loss, take, student, teacher, **settings):
        super().__init__()
        self.loss, self.take = loss, take
        self.projector = models.Projector(take(student), take(teacher), **settings)

    def forward(self, student, teacher):
        return self.loss(*self.projector(self.take(student), self.take(teacher)))


def middle_hint(student, teacher, seed):
    return Hint(losses.hint, lambda found: found["middle"], student, teacher, seed=seed)


def last_log_sum(student, teacher, seed):
    return Hint(losses.log_sum, lambda found: pooled(found["last"]), student, teacher, normalised=True, seed=seed)


def relational(student, teacher):
    """Distances and angles with the weights of Park et al.: 25 to 50, here as one term."""
    s, t = pooled(student["last"]), pooled(teacher["last"])
    return 25 * losses.rkd_distance(s, t) + 50 * losses.rkd_angle(s, t)


# What makes the term of a method from one student's and one teacher's outputs and a seed, and the published weight.
FEATURES: dict[str, tuple[Callable, float]] = {
    "hint": (middle_hint, 100.0),
    "log-sum": (last_log_sum, 1.0),
    "attention": (lambda *_: lambda s, t: losses.attention_transfer(s["middle"], t["middle"]), 1000.0),
    "similarity": (lambda *_: lambda s, t: losses.similarity_preserving(s["last"], t["last"]), 3000.0),
    "rkd": (lambda *_: relational, 1.0),
    "pkt": (lambda *_: lambda s, t: losses.pkt(pooled(s["last"]), pooled(t["last"])), 30_000.0),
}


def dkd(weight):
    return lambda s, t, labels: losses.hard_cross_entropy(s, labels) + losses.dkd(s, t, labels, other_weight=weight)


def dist(weight):
    return lambda s, t, labels: losses.hard_cross_entropy(s, labels) + weight * losses.dist(s, t, temperature=4.0)


def standardised(weight):
    def loss(s, t, labels):
        soft = losses.kd_loss(losses.standardised(s), losses.standardised(t), temperature=2.0)
        return 0.1 * losses.hard_cross_entropy(s, labels) + weight * soft

    return loss


INSTEAD: dict[str, tuple[Callable, float]] = {
    "dkd": (dkd, 8.0),
    "dist": (dist, 2.0),
    "standardised": (standardised, 9.0),
}
WEIGHTS = {name: weight for name, (_, weight) in (FEATURES | INSTEAD).items()} | {"kd": 0.9}


class Grouped(nn.Module):
    """A teacher's logits ``[B, C]`` as those of two groups of classes ``[B, 2]``: the logarithms of their sums."""

    def __init__(self, network, first):
        super().__init__()
        self.network = network
        self.register_buffer("first", torch.tensor(first))  # bool [C]

    def forward(self, inputs):
        found = self.network(inputs)
        logits = found["logits"]
        groups = [logits.masked_fill(~chosen, -torch.inf).logsumexp(1) for chosen in (~self.first, self.first)]
        return found | {"logits": torch.stack(groups, 1)}


@dataclass(frozen=True)
class Setting:
    """One question: so many training images ``per_class``, ``epochs``, the ``methods``, and beside what they stand.

    ``tuned_in``: the setting whose best rates and weights it takes; None if it has its own.
    """

    per_class: int
    epochs: int
    methods: tuple[str, ...]
    beside: str = "kd"
    data: str = "things"
    tuned_in: str | None = None


SETTINGS = {
    "things": Setting(30, 40, ("kd", *FEATURES, *INSTEAD)),
    "two classes": Setting(10, 120, ("kd", *FEATURES, "dist", "standardised")),  # for two classes dkd is kd
    "ten classes": Setting(10, 120, ("kd", *FEATURES)),  # the same images as for two classes
    "other classes": Setting(30, 80, tuple(FEATURES), beside="labels"),
    "things, more images": Setting(100, 16, ("kd", *FEATURES, *INSTEAD)),
    "things, twice as long": Setting(30, 80, ("kd", "hint", "pkt", "dist"), tuned_in="things"),
    "cifar10": Setting(1000, 4, ("kd", "hint", "pkt", "dkd", "log-sum"), data="cifar10"),  # all nine take too long
}
SETTINGS["cifar10, all images"] = replace(SETTINGS["cifar10"], per_class=4500, tuned_in="cifar10")


def things_of(per_class):
    """Things to learn from, 1,000 to choose by and 2,000 to report on, in 18 views."""
    count = {"train": per_class, "val": 100, "test": 200}
    return Splits(*(things.make(count[part], SEEDS[part]) for part in count), Views(flip=True, shift=1))


def relabelled(data, classes, number):
    """``data`` with other labels: ``number``, int64 ``[C]``, says which of ``classes``; images of -1 are left out."""

    def of(part):
        labels = number[part.labels]
        return ImageSet(part.images[labels >= 0], labels[labels >= 0], classes, part.name)

    return replace(data, train=of(data.train), val=of(data.val), test=of(data.test))


def prepare(name):
    """The data of a setting, and its teacher with its features."""
    setting = SETTINGS[name]
    if setting.data == "cifar10":
        some = cifar10().first(setting.per_class * 10)
        return replace(some, views=Views(flip=True, shift=0)), models.Features(zoo.load(TEACHERS["cifar10"]), **LAYERS)
    data = things_of(setting.per_class)
    if name == "other classes":
        known, new = things.CLASSES[::2], things.CLASSES[1::2]
        return relabelled(data, new, numbers(new)), models.Features(teacher_of(known), **LAYERS)
    teacher = models.Features(zoo.load(TEACHERS["things"]), **LAYERS)
    if name == "two classes":
        seat = torch.tensor([label in SEATS for label in things.CLASSES])
        return relabelled(data, ("something else", "a seat"), seat.long()), Grouped(teacher, seat.tolist())
    return data, teacher


def numbers(classes):
    """The place of each of ``things.CLASSES`` among ``classes``, -1 for the others."""
    return torch.tensor([classes.index(label) if label in classes else -1 for label in things.CLASSES])


def teacher_of(classes):
    """A teacher like the one that ships, of some classes only: trained anew each time, to the same weights."""
    data = relabelled(replace(things_of(500), train=things.make(500, SEEDS["teacher"])), classes, numbers(classes))
    network = models.teacher(width=12, classes=len(classes))
    return training.train(network, data, epochs=10, batch_size=250, lr=0.1, progress=False).student


class Study:
    """The students of one setting: trained when they are asked for, and kept in ``ledger``."""

    def __init__(self, name, ledger):
        self.name, self.setting, self.ledger = name, SETTINGS[name], ledger
        self.data, self.teacher = prepare(name)
        self.cache = training.ViewCache(self.teacher, self.data)

    def run(self, seeds):
        """Tuned students of all methods, and what a step costs."""
        for method in ("labels", *self.setting.methods):
            if self.setting.tuned_in is None:
                self.tune(method)
            for arm in ("kd", "kd, tuned") if method == "kd" else (method,):
                self.report(arm, seeds)
        self.ledger.row({"about": self.name}, self.described)

    def run_papers(self, seeds):
        """The same with the papers' weights, where these were not the best."""
        for method in self.setting.methods if self.setting.tuned_in is None else ():
            self.report("kd, tuned" if method == "kd" else method, seeds, papers=True)

    def tune(self, method):
        """Six tries on validation images, or seven; plain distillation gets them with its usual weight, too."""
        weight = WEIGHTS.get(method)
        if method in methods.PLAIN:
            self.further([self.tried(method, weight, rate) for rate in FINER_RATES[1:-1]], FINER_RATES)
        if method == "labels":
            return
        found = [self.tried(method, weight, rate) for rate in RATES[1:-1]]
        rate = methods.best_of(found)["lr"]
        self.further(found + [self.tried(method, factor * weight, rate) for factor in FACTORS], RATES)

    def further(self, found, rates):
        """One more try, with the first or the last of ``rates``, where the best of ``found`` has the one beside it."""
        best, beyond = methods.best_of(found), {rates[1]: rates[0], rates[-2]: rates[-1]}
        if best["lr"] in beyond:
            self.tried(best["method"], best["weight"], beyond[best["lr"]])

    def chosen(self, arm, papers=False):
        return methods.chosen({**self.ledger.about, "rows": self.ledger.rows}, self.name, arm, papers)

    def report(self, arm, seeds, papers=False):
        """The students of ``arm`` with its best rate and weight."""
        best = self.chosen(arm, papers)
        for seed in range(seeds):
            self.row(best["method"], best["weight"], best["lr"], seed)

    def tried(self, method, weight, rate):
        return self.row(method, weight, rate, studies.TUNING_SEED)

    def row(self, method, weight, rate, seed):
        """What became of one student: a dict. Trained now, unless it has been."""
        weight = None if weight is None else float(f"{weight:.4g}")
        key = {"setting": self.name, "method": method, "weight": weight, "lr": rate, "seed": seed}
        return self.ledger.row(key, lambda: self.train(method, weight, rate, seed))

    def train(self, method, weight, rate, seed):
        student = self.student(seed)
        loss = self.loss(method, weight, student, seed)
        taught = {} if method == "labels" else {"teacher": self.teacher, "cache": self.cache}
        batches = recipe.ImageBatches(self.data, BATCH, seed, torch.device("cpu"), taught.get("cache"))
        own = loss.parameters() if isinstance(loss, nn.Module) else ()
        optimizer = torch.optim.SGD(
            [*student.parameters(), *own],
            lr=rate,
            momentum=recipe.MOMENTUM,
            nesterov=True,
            weight_decay=recipe.WEIGHT_DECAY,
        )
        settings = {"epochs": self.setting.epochs, "warm_up": recipe.WARM_UP, "max_grad_norm": recipe.MAX_GRAD_NORM}
        try:
            run = training.fit(student, batches, loss, optimizer, seed=seed, progress=False, **settings, **taught)
        except training.Diverged:
            return {"val_accuracy" if seed == studies.TUNING_SEED else "accuracy": 0.0, "diverged": True}
        row = {"loss": float(f"{run.history[-1]['loss']:.4g}"), "seconds": round(run.seconds, 1)}
        if seed == studies.TUNING_SEED:  # nothing that is tuned looks at the test images
            return row | {"val_accuracy": accuracy(student, self.data.val)}
        return row | {"accuracy": accuracy(student, self.data.test)}

    def student(self, seed):
        student = models.student(*STUDENT, classes=len(self.data.train.classes), seed=seed)
        training.fit_input(student, self.data)
        return models.Features(student, **LAYERS)

    def loss(self, method, weight, student, seed):
        """The loss of a method: beside the soft targets or the labels, or instead of the soft targets."""
        if method == "labels":
            return training.Distillation()
        if method == "kd":
            return training.Distillation(soft_weight=weight, hard_weight=0.1)
        if method in INSTEAD:
            loss = INSTEAD[method][0](weight)
            return lambda s, t, batch: loss(s["logits"], t["logits"], batch.labels)
        base = training.Distillation() if self.setting.beside == "kd" else training.Distillation(4.0, 0.0, 1.0)
        examples = models.as_input(self.data.train.images[:2])
        with torch.no_grad(), models.evaluating(student):
            term = FEATURES[method][0](student(examples), self.teacher(examples), seed)
        return training.Beside(base, term, weight)

    def described(self):
        """What all students of the setting have in common, and what a step costs with each method: a dict."""
        steps = self.setting.epochs * len(self.data.train) // BATCH
        about = {"images": len(self.data.train), "steps": steps}
        if self.data.source:
            about["source"] = re.sub(r" \S*[/\\]\S*", "", self.data.source)  # not where it lay
        if self.setting.beside == "kd":  # else it knows other classes
            about["teacher_accuracy"] = accuracy(self.teacher, self.data.test)
        return about | {"costs": self.costs()}

    def costs(self):
        """What a step costs with each method: milliseconds, measured in turns, the weights that learn beside the
        student, and the bytes that are kept until the backward pass, features among them.
        """
        student = self.student(seed=0)
        batch = next(recipe.ImageBatches(self.data, BATCH, 0, torch.device("cpu")).epoch(0))
        optimizer = torch.optim.SGD(student.parameters(), lr=0.0)
        steps, more = {}, {}
        for method in ("labels", *self.setting.methods):
            loss = self.loss(method, WEIGHTS.get(method), student, 0)
            more[method] = models.count_parameters(loss) if isinstance(loss, nn.Module) else 0
            taught = {} if method == "labels" else {"teacher": self.teacher, "cache": self.cache}
            steps[method] = lambda loss=loss, taught=taught: step(student, batch, loss, optimizer, **taught)
        taken = profiling.latency(steps)
        own = [*student.parameters(), *student.buffers()]
        kept = {method: profiling.kept_for_backward(call, without=own) for method, call in steps.items()}
        return {m: {"ms": round(1000 * taken[m].median, 2), "more_weights": more[m], "kept": kept[m]} for m in steps}


def accuracy(student, part):
    return metrics.accuracy(metrics.predict(student, part.images), part.labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ledger = studies.Ledger(about(), options.json, say=lambda row: print(row, flush=True))
    of = functools.cache(lambda name: Study(name, ledger))
    for part in Study.run, Study.run_papers:
        for name in options.settings:
            part(of(name), options.seeds)


def table(result):
    """What was measured, as lines of Markdown: means over seeds, and paired gains with 95 % intervals, in points."""
    for setting in SETTINGS:
        found = next((row for row in result["rows"] if row.get("about") == setting), None)
        if found is None:
            continue
        baseline = result["settings"][setting]["beside"]
        gains, published = (methods.gains(result, setting, baseline, papers) for papers in (False, True))
        teacher = f", teacher {found['teacher_accuracy']:.1%}" if "teacher_accuracy" in found else ""
        yield f"{setting}: {found['images']} images, {found['steps']} steps{teacher}"
        yield ""
        yield (
            f"| arm | weight | rate | test accuracy | gain over {baseline} | with the paper's weight | ms a step | "
            f"more kB |"
        )
        yield "|---|---|---|---|---|---|---|---|"
        for arm in methods.arms(result, setting):
            best, values = methods.chosen(result, setting, arm), methods.accuracies(result, setting, arm)
            weight = "-" if best["weight"] is None else f"{best['weight']:g}"
            yield (
                f"| {arm} | {weight} | {best['lr']:g} | {statistics.mean(values):.2%} | {in_points(gains.get(arm))} | "
                f"{in_points(published.get(arm))} | {found['costs'][best['method']]['ms']:.1f} | "
                f"{methods.more_bytes(found['costs'], best['method'], baseline) / 1000:.0f} |"
            )
        yield ""


def in_points(pair):
    return "-" if pair is None else f"{100 * pair.mean:+.2f} ({100 * pair.low:+.2f} to {100 * pair.high:+.2f})"


def about():
    """What all rows have in common: a dict. Rows of other settings are other results."""
    optimizer = {"momentum": recipe.MOMENTUM, "weight_decay": recipe.WEIGHT_DECAY, "warm_up": recipe.WARM_UP}
    optimizer["longest_gradient"] = recipe.MAX_GRAD_NORM
    settings = {name: asdict(setting) for name, setting in SETTINGS.items()}
    settings |= {"student": STUDENT, "batch_size": BATCH, "seeds": SEEDS, "layers": LAYERS, "optimizer": optimizer}
    found = {"experiment": "beyond logits", "settings": settings, "weights": WEIGHTS, "factors": FACTORS}
    found |= {"rates": [RATES, FINER_RATES], "temperature": 4.0}
    found["teacher"] = {data: zoo.card(name)["sha256"] for data, name in TEACHERS.items()}
    return found | {"device": "cpu", "versions": machine.versions()}


if __name__ == "__main__":
    main()
