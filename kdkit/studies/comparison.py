"""A fair comparison: three ways to teach the same student, tuned alike, over several seeds.

- ``labels``: cross-entropy with the ground truth, the only way for a student that has no teacher;
- ``argmax``: cross-entropy with the class that the teacher names, on the same images in the same views;
- ``soft``: the teacher's soft targets, and no label.

So argmax minus labels is what a teacher's answers give, and soft minus argmax is what the rest of its probabilities
adds: how sure it is of each image, and which other classes it thought of. The students of a seed begin with the same
weights and see as many images, in the same order and views, in as many steps. Each way has its own learning rate, the
best of ``RATES`` on validation images. The last epoch counts.

With few labels the student that has only labels learns from few images, many times over; the other two learn from all,
since asking a teacher takes no label. What is not counted there: the teacher has seen all labels, of these very images,
and names nearly all of them right, as it would not on images that are new to it; the rate was chosen with all labels of
the validation images; and nothing but the rate was tuned for learning from few.
"""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

import kdkit
from kdkit import losses, models, training
from kdkit.data import files
from kdkit.data.images import Splits, check_splits, hold_out
from kdkit.data.seeds import generator
from kdkit.data.views import Views
from kdkit.losses.arguments import whole
from kdkit.measure import metrics, profiling
from kdkit.studies.ledger import Ledger
from kdkit.studies.results import TUNING_SEED
from kdkit.training.cache import ViewCache

TEMPERATURE = 4.0
RATES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)  # peaks, for batches of 512
FIRST_RATE = RATES.index(0.4)  # the search begins here
PATIENCE = 2  # and goes on, either way, until so many rates in a row were no better


@dataclass(frozen=True)
class Setting:
    """What a comparison holds fixed: how many ``images`` to learn from, the views of each, and ``epochs``.

    ``students`` are (width, depth); ``budgets`` the shares of the images that have a label.
    """

    images: int
    epochs: int
    students: tuple[tuple[int, int], ...]
    budgets: tuple[float, ...] = (1.0,)
    shift: int = 2
    batch_size: int = 256

    def splits(self, data: Splits) -> Splits:
        """``data`` with so many training images, in these views."""
        return replace(data.first(self.images), views=Views(data.views.flip, self.shift))


SETTINGS = {
    "cifar": {
        "quick": Setting(images=10_000, epochs=12, students=((8, 3),), shift=0, batch_size=128),
        "full": Setting(images=45_000, epochs=2, students=((8, 3), (8, 6)), budgets=(1.0, 0.1, 0.02), batch_size=128),
    },
    "things": {
        "quick": Setting(images=500, epochs=12, students=((8, 3),), shift=0, batch_size=50),
        "full": Setting(images=1000, epochs=12, students=((8, 3), (8, 6)), budgets=(1.0, 0.1), batch_size=50),
    },
}


class Comparison:
    """The runs of one ``Setting``: trained when they are asked for, and kept.

    Parameters: ``name`` of the setting; ``data``, all of it; ``teacher`` and its logits ``[N, C]`` on the test images;
    ``folder`` for cache and checkpoints; ``ledger``, a ``Ledger`` of what has been measured.
    """

    def __init__(
        self,
        name: str,
        setting: Setting,
        data: Splits,
        teacher: nn.Module,
        teacher_test: Tensor,
        folder: str | Path,
        ledger: Ledger,
    ):
        self.name, self.setting, self.teacher_test, self.ledger = name, setting, teacher_test, ledger
        self.data, self.folder = setting.splits(data), Path(folder)
        self.cache = ViewCache(teacher, self.data, self.folder / f"{name}.cache")
        self._answers = None

    def run(self, seeds: int) -> None:
        """All students of the setting: learning rates first, then seed by seed."""
        for student in self.setting.students:
            arms = [("soft", None), ("argmax", None), *(("labels", budget) for budget in self.setting.budgets)]
            rates = {arm: self.tune(student, *arm) for arm in arms}  # soft comes first: it fills the cache
            for seed in range(seeds):
                for arm, rate in rates.items():
                    self.row(student, *arm, seed, rate)

    def tune(self, student: tuple[int, int], arm: str, budget: float | None) -> float:
        """The learning rate of ``RATES`` that is best on validation images, outwards from ``FIRST_RATE``."""
        best = FIRST_RATE
        for step in 1, -1:
            place, misses = FIRST_RATE + step, 0
            while 0 <= place < len(RATES) and misses < PATIENCE:
                better = self._tried(student, arm, budget, place) > self._tried(student, arm, budget, best)
                best, misses = (place, 0) if better else (best, misses + 1)
                place += step
        return RATES[best]

    def _tried(self, student, arm, budget, place):
        return self.row(student, arm, budget, TUNING_SEED, RATES[place])["val_accuracy"]

    def row(self, student: tuple[int, int], arm: str, budget: float | None, seed: int, rate: float) -> dict:
        """What became of one student. Trained now, unless it has been.

        Raises what ``kdkit.train`` and the ledger raise. A training that diverges raises nothing: its row says so.
        """
        width, depth = student
        key = {"setting": self.name, "student": f"{width}x{depth}", "arm": arm, "budget": budget}
        key |= {"seed": seed, "lr": rate}
        checkpoint = self.folder / f"{self.name}-{width}x{depth}-{arm}-{budget}-{seed}-{rate}.checkpoint"
        row = self.ledger.row(key, lambda: self._train(width, depth, arm, budget, seed, rate, checkpoint))
        checkpoint.unlink(missing_ok=True)  # only now: nothing of it is lost, whenever the program is killed
        return row

    def _train(self, width, depth, arm, budget, seed, rate, checkpoint):
        setting, data, device = self.setting, self.data, models.device_of(self.cache.teacher)
        channels, classes = data.train.images.shape[1], len(data.train.classes)
        student = models.student(width, depth, classes, channels, seed)
        # on all images, which takes no label: so all arms of a seed begin with the same first layer, too
        training.fit_input(student, data)
        if budget is not None:
            data = with_labels(data, budget, seed)
        schedule = {"epochs": setting.epochs, "batch_size": setting.batch_size, "seed": seed}
        # gradients are not cut: how long they are differs between the arms, which is what each one's rate is tuned for
        schedule |= {"lr": rate * setting.batch_size / 512, "max_grad_norm": None, "checkpoint": checkpoint}
        try:
            run = kdkit.train(student.to(device), data, **schedule, **self._targets(arm), progress=False)
        except training.Diverged:
            return {"val_accuracy": 0.0, "seconds": 0.0, "diverged": True}
        row = {"val_accuracy": run.val_accuracy, "seconds": round(run.seconds, 1)}
        if seed == TUNING_SEED:  # nothing that is tuned looks at the test images
            return row
        return row | judge(metrics.predict(run.student, data.test.images), self.teacher_test, data.test.labels)

    def _targets(self, arm):
        if arm == "labels":
            return {}
        if arm == "argmax" and self._answers is None:
            self._answers = self.cache.argmax()
        return taught_by(self.cache if arm == "soft" else self._answers, TEMPERATURE if arm == "soft" else 1.0)


def run(
    name: str,
    data: Splits,
    teacher: nn.Module,
    *,
    seeds: int,
    folder: str | Path,
    about: dict | None = None,
    path: str | Path | None = None,
    say: Callable[[dict], object] = print,
) -> Ledger:
    """Make all comparisons called ``name`` ("cifar" or "things") with ``seeds`` students an arm.

    ``folder``: for cache and checkpoints. ``path``: a JSON file, written after each student; what stands in it
    already is not trained again. ``about``: more to write into it. ``say`` is called with each new row.

    Raises ``ValueError``, before anything is trained, for an unknown name, for what are no splits, no network or no
    number of seeds, and for a file of other results or a damaged one; and where another program works in ``folder``.
    """
    _check(name, data, teacher, seeds, about, say)
    folder, path = files.expanded(folder), None if path is None else files.expanded(path)
    teacher_test = metrics.predict(teacher, data.test.images)
    parts = (data.train, data.val, data.test)
    made = {
        "experiment": name,
        "data_fingerprint": "/".join(f"{part.fingerprint}-{part.labels_fingerprint}" for part in parts),
        "teacher": models.fingerprint(teacher),
        "teacher_accuracy": metrics.accuracy(teacher_test, data.test.labels),
        "settings": {setting: asdict(values) for setting, values in SETTINGS[name].items()},
        "rates": RATES,
        "temperature": TEMPERATURE,
        "device": models.device_of(teacher).type,
    }
    with _alone(folder):
        ledger = Ledger({**(about or {}), **made}, path, say)
        for setting, values in SETTINGS[name].items():
            Comparison(setting, values, data, teacher, teacher_test, folder, ledger).run(seeds)
    return ledger


def taught_by(cache: ViewCache, temperature: float) -> dict:
    """What ``kdkit.train`` is told so that a student learns from the teacher of ``cache``, and from no label."""
    target = {"temperature": temperature, "soft_weight": 1.0, "hard_weight": 0.0}
    return {"teacher": cache.teacher, "cache": cache, **target}


def with_labels(data: Splits, budget: float, seed: int) -> Splits:
    """``data`` where only this share of the training images is left, the same of each class, repeated to as many.

    Which ones depends on ``seed``. An epoch has as many steps as with all of them, and an image comes in several views.
    """
    if budget == 1:
        return data
    order = torch.randperm(len(data.train), generator=generator(seed))
    few = hold_out(data.train.subset(order), round(budget * len(data.train)))[1]
    return replace(data, train=few.subset(torch.arange(len(data.train)) % len(few)))


def expected_seconds(data: Splits, setting: Setting, teacher: nn.Module, student: nn.Module) -> dict[str, float]:
    """What is about to come on this machine: seconds to train ``student`` alone, and to ask the teacher.

    Measured on one batch; on a busy machine it can be wrong by half.
    """
    size, device = setting.batch_size, models.device_of(teacher)
    inputs, labels = models.as_input(data.train.images[:size], device), data.train.labels[:size].to(device)
    trial, some = copy.deepcopy(student).to(device), data.val.images[:200]

    def step() -> None:
        losses.hard_cross_entropy(trial(inputs), labels).backward()

    calls = {"step": step, "teacher": profiling.predicting(teacher, some)}
    calls["student"] = profiling.predicting(copy.deepcopy(trial), some)
    taken = {name: spent.median for name, spent in profiling.latency(calls, rounds=2).items()}
    validations = setting.epochs * len(data.val) / len(some)
    answers = min(setting.epochs, data.views.count) * len(data.train) + len(data.val)
    return {
        "student": setting.epochs * len(data.train) / size * taken["step"] + validations * taken["student"],
        "teacher": answers / len(some) * taken["teacher"],
    }


def judge(logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy, agreement with the teacher, KL(teacher || student) at T = 1, and calibration error of a student.

    ``logits`` and ``teacher_logits`` ``[N, C]``, ``labels`` ``[N]``. Raises ``ValueError`` where they do not fit.
    """
    return {
        "accuracy": metrics.accuracy(logits, labels),
        "agreement": metrics.agreement(logits, teacher_logits),
        "kl": losses.kl_divergence(logits, teacher_logits).item(),
        "ece": metrics.expected_calibration_error(logits, labels),
    }


def _check(name: str, data: Splits, teacher: nn.Module, seeds: int, about: dict | None, say: Callable) -> None:
    if not isinstance(name, str) or name not in SETTINGS:
        raise ValueError(f"there is no experiment {name!r}; there are: {', '.join(SETTINGS)}.")
    check_splits(data)
    models.check_network("teacher", teacher)
    whole(seeds, "seeds", 1, TUNING_SEED, "So many students of each kind; a seed beyond serves for tuning.")
    if not (about is None or isinstance(about, dict)) or not callable(say):
        got = f"{type(about).__name__} and {type(say).__name__}"
        raise ValueError(f"about must be a dict or None, and say a function of a row; got {got}.")


def _alone(folder):
    """Refuse to work beside another program that does the same: each would undo what the other adds."""
    busy = f"another program is working in {folder}: wait for it, or give another folder."
    return files.alone(Path(folder) / "experiments", busy)
