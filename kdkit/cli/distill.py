"""``python -m kdkit distill``: pairs of students, one alone and one distilled, and a verdict."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import kdkit
from kdkit.cli import distill_texts, networks, proposals, reports, several, teachers
from kdkit.cli.evidence import ARMS, Evidence, failed, said_cost
from kdkit.cli.options import (
    OR_TEXTS,
    Commands,
    add_command,
    add_computing,
    add_data,
    add_training,
    are_texts,
    check,
    how,
    load_data,
    plan,
    schedule,
)

if TYPE_CHECKING:
    from torch.nn import Module

    from kdkit.data import Splits
    from kdkit.training import ViewCache

EPOCHS = 8  # usually


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "distill", run, "train students, alone and distilled, and compare")
    add_data(parser, data=OR_TEXTS)
    add_computing(parser)
    add_training(parser, EPOCHS)
    parser.add_argument("--teacher", action="append", help=teachers.HELP)
    parser.add_argument("--class-map", metavar="FILE", help=teachers.CLASS_MAP_HELP)
    proposals.add_minutes(parser)
    proposals.add_student(parser)
    parser.add_argument("--seeds", type=int, default=3, help="how many pairs of students")
    parser.add_argument("--temperature", type=float, default=4.0, help="softens both networks' answers")
    parser.add_argument("--soft-weight", type=float, default=0.9, help="weight of the teacher's soft targets")
    parser.add_argument("--hard-weight", type=float, default=0.1, help="weight of the labels")
    top_k = "keep only the teacher's K likeliest classes of each answer, where there are many (default: all)"
    parser.add_argument("--top-k", type=int, metavar="K", help=top_k)
    kept = (
        "keep the distilled student that is best on the validation images, with a card, in this file (.safetensors); "
        "one of texts in this folder, with its tokenizer, as Hugging Face's are kept"
    )
    parser.add_argument("--out", metavar="PATH", help=kept)


def run(options: argparse.Namespace) -> int:
    """Train pairs of equal students, one alone and one distilled, and compare them on the test images.

    Both students of a pair begin with the same weights and see the same images in the same order. The teacher's
    answers are kept in a cache, so that only the first distilled student waits for them. At the end kdkit.diagnose
    looks for what may be wrong with the best distilled student. With --data, a folder of texts (.txt, one subfolder a
    class), small BERTs learn from a text classifier instead.
    """
    began = time.perf_counter()
    check(options)
    if are_texts(options):
        return distill_texts.run(options, began)
    proposals.check(options)
    kdkit.losses.arguments.check_temperature(options.temperature)  # now, not after the first student alone
    kdkit.losses.resolve_weights(options.soft_weight, options.hard_weight, have_labels=True)
    data = load_data(options)
    teacher_name, teacher, seen = teachers.find(options, data)
    proposals.fill(options, data, EPOCHS, teacher, seen)
    plan(options, data, EPOCHS)
    origin = reports.origin(data, options)
    origin |= {"teacher": teacher_name, "teacher_fingerprint": kdkit.models.fingerprint(teacher)}
    if options.out:
        networks.check_place(options.out, origin)  # before the training, not after it
    evidence = None if several.rank() else Evidence(teacher, data, seen)  # the first process alone measures and writes
    if evidence:
        print(f"teacher: test accuracy {evidence.teacher_accuracy:.2%}", flush=True)
    name = f"{data.name}-{reports.fingerprints(teacher, data)}"
    folder = options.runs / f"{name}-students-{reports.digest(options)}"
    cache = kept_answers(teacher, data, seen, options, name)
    kd = {"teacher": teacher, "cache": cache, "temperature": options.temperature}
    kd |= {"soft_weight": options.soft_weight, "hard_weight": options.hard_weight}
    runs = [pair(seed, options, data, evidence, folder, kd) for seed in range(options.seeds)]
    return concluded(options, evidence, runs, cache, origin, began) if evidence else 0


def concluded(
    options: argparse.Namespace, evidence: Evidence, runs: list[dict], cache: ViewCache, origin: dict, began: float
) -> int:
    """Say and write what the students of ``runs`` (as ``pair`` gives them) show; the exit status."""
    data = evidence.data
    failures, verdict = failed(runs, data.test.labels), None
    if not failures:
        alone, distilled = ([run[f"student_{arm}"] for run in runs] for arm in ARMS)
        verdict = kdkit.metrics.paired_interval(distilled, baseline=alone).verdict
    unsaid = "nothing can be said, for these students have not learnt:"
    print(f"distillation: {verdict or unsaid}", *failures, sep="\n  ", flush=True)
    result = {"data": data.name, "train_images": len(data.train), "teacher_accuracy": evidence.teacher_accuracy}
    result |= {"runs": runs, "verdict": verdict, "broken": failures, "limits": networks.limits(data)}
    result |= {**evidence.facts(), "diagnosis": evidence.diagnosis(cache), **origin}
    print(*diagnosed(result["diagnosis"]), *said_cost(result["cost"], "image"), sep="\n")
    if options.out:
        evidence.keep(options.out, result)
    reports.write(options, result, began)
    return 1 if failures else 0


def kept_answers(teacher: Module, data: Splits, seen: Splits, options: argparse.Namespace, name: str) -> ViewCache:
    """The cache of the teacher's answers in RUNS, its size said before it is written."""
    k, classes = options.top_k, len(data.train.classes)
    if k is not None:
        kdkit.losses.arguments.whole(k, "--top-k", 1, classes, "It counts classes.")
        name += f"-top{k}-T{options.temperature:g}"
    path = options.runs / f"{name}.cache"
    size = kdkit.training.cache_files.size(len(data.train) * data.views.count + len(data.val), classes, k)
    free = kdkit.data.files.in_words(kdkit.data.files.free(path))
    print(f"the teacher's answers: {size}, kept in {path} ({free} are free)", flush=True)
    truncated = {} if k is None else {"k": k, "temperature": options.temperature}
    own = None if seen is data else seen
    return kdkit.training.ViewCache(teacher, data, path, teacher_data=own, **truncated)


def pair(
    seed: int, options: argparse.Namespace, data: Splits, evidence: Evidence | None, folder: Path, kd: dict
) -> dict:
    """Train the two students of one seed, the second with ``kd`` (teacher, cache, temperature, weights).

    Returns their test accuracies (None for one that diverged) and seconds, unless there is no ``evidence`` to add to.
    Checkpoints go to ``folder``.
    """
    row: dict[str, object] = {"seed": seed}
    said = []
    for arm, extra in zip(ARMS, ({}, kd), strict=True):
        classes, channels = len(data.train.classes), data.train.images.shape[1]
        student = kdkit.models.student(options.width, options.depth, classes, channels, seed)
        student = student.to(networks.device(options.device))
        checkpoint = folder / f"seed{seed}-{arm}.checkpoint"
        try:
            trained = kdkit.train(
                student, data, seed=seed, checkpoint=checkpoint, **schedule(options), **how(options), **extra
            )
        except kdkit.training.Diverged as problem:  # the other students are worth having all the same
            row |= {f"student_{arm}": None, f"diverged_{arm}": str(problem)}
            said.append(f"{arm} diverged")
            continue
        if evidence is None:
            continue
        accuracy = row[f"student_{arm}"] = evidence.add(arm, seed, trained)
        row[f"seconds_{arm}"] = round(trained.seconds, 1)
        said.append(f"{arm} {accuracy:.2%}")
    print(f"seed {seed}: {', '.join(said)}", flush=True)
    return row


def diagnosed(diagnosis: dict | None) -> Iterator[str]:
    """In sentences, what was found wrong with the distillation, and what to do about it."""
    if diagnosis is None:
        return
    findings, checks = diagnosis["findings"], diagnosis["checks"]
    yield f"diagnosis: {len(findings) or 'nothing'} found in {len(checks)} checks of {diagnosis['looked_at']}"
    for name in findings:
        yield f"  {name}: {checks[name]['sentence']} To do: {checks[name]['advice']}"
