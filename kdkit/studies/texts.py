"""Text classifiers that learn alone and from a teacher, in pairs over seeds: the gain, with its interval."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kdkit.data.labelled import TextSplits
from kdkit.losses.arguments import whole
from kdkit.measure import metrics
from kdkit.models.for_texts import ForTexts
from kdkit.training.state import Diverged, Run
from kdkit.training.texts import TeacherLogits, predict, train

KD = ("temperature", "soft_weight", "hard_weight")  # settings that only a distilled student has


def compare(
    make_student: Callable[[int], ForTexts],
    data: TextSplits,
    teacher: ForTexts,
    *,
    seeds: int = 3,
    folder: str | Path | None = None,
    done: Callable[[str, int, Run | None], Any] | None = None,
    **settings: Any,
) -> dict:
    """Train a student alone and one distilled for each of so many ``seeds``, and compare them on ``data.test``.

    Parameters:
        make_student: called with a seed; both students of a pair begin with the same weights.
        teacher: asked once about each text, for all students; left in eval mode and untouched.
        folder: for checkpoints, so that a comparison that was stopped goes on; None keeps none.
        done: called with "alone" or "distilled", the seed and the ``Run`` of each student; None if it diverged.
        settings: for ``training.texts.train``: ``epochs``, ``batch_size``, ``lr``, ``temperature`` and so on.

    Returns a dict as JSON has it: ``teacher_accuracy``, ``runs`` (of each seed: ``seed``, ``student_alone``,
    ``student_distilled``, test accuracies, and seconds of training) and ``verdict``, the paired difference in a
    sentence. A student that diverged has None for its accuracy, and a sentence under ``diverged_alone`` or
    ``diverged_distilled``; the others are trained all the same, and the verdict is None. Raises as ``train``.
    """
    whole(seeds, "seeds", 1)
    cache = TeacherLogits(teacher, data)
    alone = {name: value for name, value in settings.items() if name not in KD}
    arms: dict[str, dict] = {"alone": alone, "distilled": {**settings, "teacher": teacher, "cache": cache}}
    rows = []
    for seed in range(seeds):
        row: dict[str, Any] = {"seed": seed}
        for arm, how in arms.items():
            student = make_student(seed)
            checkpoint = None if folder is None else Path(folder) / f"seed{seed}-{arm}.checkpoint"
            run: Run | None = None
            try:
                run = train(student, data, seed=seed, checkpoint=checkpoint, **how)
            except Diverged as problem:  # the other students are worth having all the same
                row |= {f"student_{arm}": None, f"diverged_{arm}": str(problem)}
            if run is not None:
                row |= {f"student_{arm}": accuracy(student, data), f"seconds_{arm}": round(run.seconds, 1)}
            if done is not None:
                done(arm, seed, run)
        rows.append(row)
    return {"teacher_accuracy": accuracy(teacher, data), "runs": rows, "verdict": _verdict(rows)}


def _verdict(rows):
    distilled, baseline = ([row[f"student_{arm}"] for row in rows] for arm in ("distilled", "alone"))
    return None if None in distilled + baseline else metrics.paired_interval(distilled, baseline=baseline).verdict


def accuracy(network: ForTexts, data: TextSplits) -> float:
    """The share of ``data.test`` that ``network`` names right."""
    return metrics.accuracy(predict(network, network.encode(data.test.texts)), data.test.labels)
