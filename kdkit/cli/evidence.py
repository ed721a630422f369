"""What a comparison of students leaves behind beside their accuracies: for the report, and the student to keep."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import kdkit
from kdkit.cli import networks, reports

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor
    from torch.nn import Module

    from kdkit.training import Run, ViewCache

ARMS = ("alone", "distilled")
BINS = 10  # of confidence, in a report
MOST_MISTAKES = 12  # in a report
BATCHES = (1, 64)  # images at once where time is measured


class Evidence:
    """Test answers of a teacher and its students, and the distilled student that did best on the validation images.

    Each student is measured as a file would give it back, in half precision: what was measured can be written.
    """

    what = "images"

    def __init__(self, teacher: Module, data: Any, seen: Any):
        """``data``: ``Splits``; ``seen``: the same as the teacher sees it, which may be larger."""
        self.teacher, self.data, self.seen = teacher, data, seen
        self.answers: dict[str, list[Tensor]] = {arm: [] for arm in ARMS}
        self.best: dict = {}
        self.teacher_logits = self.answer(teacher, seen)  # [N, classes]
        self.teacher_accuracy = kdkit.metrics.accuracy(self.teacher_logits, data.test.labels)

    def answer(self, network: Module, data: Any) -> Tensor:
        """What ``network`` says of the test data: logits ``[N, classes]``."""
        return kdkit.metrics.predict(network, data.test.images)

    def as_written(self, student: Module) -> Module:
        """The student that a file would give back."""
        return networks.as_written(student, {})

    def inputs(self, network: Module, data: Any, count: int) -> Any:
        """What ``network`` is given to measure its time: ``count`` of the test images, float ``[N, C, H, W]``."""
        return kdkit.models.as_input(_many(data.test.images, count), kdkit.models.device_of(network))

    def sizes(self) -> dict:
        """How large what student and teacher see is."""
        shown = self.seen.test.images.shape[1:]
        return {"size": list(self.data.test.images.shape[1:]), "teacher_size": list(shown)}

    def add(self, arm: str, seed: int, run: Run) -> float:
        """Measure the student of a finished ``run``, and remember its answers. Returns its test accuracy."""
        written = self.as_written(run.student).to(kdkit.models.device_of(run.student))
        logits = self.answer(written, self.data)
        self.answers[arm].append(logits)
        accuracy = kdkit.metrics.accuracy(logits, self.data.test.labels)
        if arm == "distilled" and run.val_accuracy > self.best.get("val_accuracy", -1.0):
            ece = kdkit.metrics.expected_calibration_error(logits, self.data.test.labels)
            self.best = {"seed": seed, "val_accuracy": run.val_accuracy, "accuracy": accuracy, "ece": ece}
            self.student, self.run = written, run
        return accuracy

    def diagnosis(self, cache: ViewCache) -> dict | None:
        """What ``kdkit.diagnose`` says of the best distilled student, as JSON has it; None where there is none.

        ``cache``: that of the teacher's answers, from which it learnt. Where teacher and student see images of two
        sizes, both are shown the larger, and the network that learnt from the smaller scales them.
        """
        if not self.best:
            return None
        side, shown = (splits.test.images.shape[-1] for splits in (self.data, self.seen))
        student, data = self.student, self.data
        if shown > side:
            device = kdkit.models.device_of(student)
            student, data = kdkit.models.ForImages(student, size=side).to(device), self.seen
        return kdkit.diagnose(student, self.teacher, data, run=self.run, cache=cache).as_dict()

    def keep(self, out: Path, result: dict) -> None:
        """Write to ``out`` the distilled student that was best on the validation data, with ``result`` as its card."""
        if result["broken"] or not self.best:
            print(f"no student is kept in {out}: see above", file=sys.stderr)
            return
        name = out.stem if out.suffix == ".safetensors" else out.name
        card = {"name": reports.without_home(name), **result, "results": self.best}
        said = self.write(out, {**card, "device": networks.hardware(self.student)})
        print(
            f"kept in {said}: the distilled student of seed {self.best['seed']}, the best on the validation "
            f"{self.what}; test accuracy {self.best['accuracy']:.2%}"
        )

    def write(self, out: Path, card: dict) -> str:
        """Write the student and its card. Returns what to call the place."""
        networks.keep(self.student, out, card)
        return f"{out}"

    def facts(self) -> dict:
        """What is known of teacher and students, as JSON has it: ``images`` (or ``texts``), ``networks``, ``mistakes``,
        ``cost``.
        """
        parts = {"train": self.data.train, "val": self.data.val, "test": self.data.test}
        answers = {"teacher": [self.teacher_logits], **self.answers}
        return {
            self.what: {**{name: len(part) for name, part in parts.items()}, **self.sizes()},
            "described": [reports.without_home(line) for line in kdkit.data.describe(self.data, self.what)],
            "networks": {name: self._about(logits) for name, logits in answers.items() if logits},
            "mistakes": self._mistakes(),
            "cost": self._cost(),
        }

    def _about(self, answers):
        """Means over networks of one kind, and how far they can be trusted, all their answers together."""
        import torch

        metrics, labels = kdkit.metrics, self.data.test.labels
        all_logits, all_labels = torch.cat(answers), labels.repeat(len(answers))
        mean = {
            "accuracy": [metrics.accuracy(logits, labels) for logits in answers],
            "agreement": [metrics.agreement(logits, self.teacher_logits) for logits in answers],
            "ece": [metrics.expected_calibration_error(logits, labels) for logits in answers],
        }
        found: dict = {name: sum(values) / len(values) for name, values in mean.items()}
        table = metrics.confusion(all_logits, all_labels)  # [C, C], a row for each class
        right = zip(table.diagonal().tolist(), table.sum(1).tolist(), strict=True)
        found["by_class"] = [hits / count if count else None for hits, count in right]
        return found | {"count": len(answers), "reliability": metrics.reliability(all_logits, all_labels, BINS)}

    def _mistakes(self):
        """Which confusions distillation changed most, in images (texts) a student: those that lie farthest apart."""
        if not all(self.answers.values()):
            return []
        classes, labels = self.data.test.classes, self.data.test.labels
        counts = {
            arm: sum(kdkit.metrics.confusion(logits, labels).double() for logits in answers) / len(answers)
            for arm, answers in self.answers.items()
        }
        for table in counts.values():
            table.fill_diagonal_(0)
        change = (counts["distilled"] - counts["alone"]).abs().flatten()
        cells = [divmod(cell, len(classes)) for cell in change.argsort(descending=True, stable=True).tolist()]
        said = [
            {
                "class": classes[true],
                "answer": classes[answer],
                **{arm: counts[arm][true, answer].item() for arm in ARMS},
            }
            for true, answer in cells[:MOST_MISTAKES]
        ]
        return [row for row in said if row["alone"] != row["distilled"]]

    def _cost(self):
        """Of the teacher and a student: parameters, operations for one image or text, and time, in turns."""
        if not self.best:
            return {}
        profiling = kdkit.profiling
        pair = {"teacher": (self.teacher, self.seen), "student": (self.student, self.data)}
        found: dict = {
            name: {
                "parameters": kdkit.models.count_parameters(each),
                "flops": profiling.flops(each, self.inputs(each, data, 1)),
            }
            for name, (each, data) in pair.items()
        }
        for batch in BATCHES:
            calls = {
                name: profiling.predicting(each, self.inputs(each, data, batch)) for name, (each, data) in pair.items()
            }
            times = profiling.latency({**calls, profiling.AGAIN: calls["teacher"]})
            for name, ratio in profiling.ratios(times).items():
                found[name].setdefault("milliseconds", {})[str(batch)] = round(1000 * times[name].median, 4)
                found[name].setdefault("times_as_long", {})[str(batch)] = str(ratio)
        return {**found, "device": networks.hardware(self.teacher), "load": profiling.load()}


def _many(images, count):
    """``count`` of the images, from the first again where there are fewer."""
    import torch

    return kdkit.data.streaming.pixels(images[torch.arange(count) % len(images)])


def said_cost(measured: dict, one: str) -> Iterator[str]:
    """In sentences, what a student costs beside its teacher; ``one`` of what they see is called an image or a text."""
    if measured:
        student, teacher = measured["student"], measured["teacher"]
        yield f"a student has {student['parameters']:,} parameters, the teacher {teacher['parameters']:,}"
        for batch, milliseconds in student["milliseconds"].items():
            many = f"one {one}" if batch == "1" else f"{batch} {one}s at once"
            yield f"{many}: {milliseconds:.2f} ms against {teacher['milliseconds'][batch]:.2f} ms of the teacher"


def failed(runs: list[dict], labels: Tensor) -> list[str]:
    """A sentence for each student that diverged, may as well have guessed, or lies far below its like.

    ``labels`` ``[N]``: of the test images or texts.
    """
    sentences, guess = [], kdkit.metrics.guessing(labels)
    for arm in ARMS:
        best = max((run[f"student_{arm}"] or 0.0 for run in runs), default=0.0)
        for run in runs:
            accuracy, who = run[f"student_{arm}"], f"seed {run['seed']}, {arm}"
            if accuracy is None:
                sentences.append(f"{who}: {run[f'diverged_{arm}']}")
            elif accuracy < guess:
                sentences.append(f"{who}: {accuracy:.2%}, no better than guessing: more --epochs, or more data?")
            elif accuracy < (guess + best) / 2:
                sentences.append(f"{who}: {accuracy:.2%}, where another seed has {best:.2%}: lower --lr?")
    return sentences
