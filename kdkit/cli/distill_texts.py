"""``python -m kdkit distill --data FOLDER`` where the folder holds texts: small BERTs learn from a text classifier."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import kdkit
from kdkit.cli import networks, reports, teachers
from kdkit.cli.evidence import failed

if TYPE_CHECKING:
    from kdkit.data import TextSplits
    from kdkit.models.for_texts import ForTexts

EPOCHS, WIDTH, DEPTH = 8, 64, 2  # usually
NOT_FOR_TEXTS = ("size", "stream", "minutes", "latency_ms", "top_k", "out", "train_images", "compile")
USUAL = {"accumulate": 1, "precision": "float32", "max_grad_norm": 2.0}  # other values mean nothing here


def wanted(options: argparse.Namespace) -> bool:
    """Whether ``--data`` is a folder that holds texts (.txt) and no image."""
    from kdkit.data.labelled import holds_texts

    return options.data not in ("things", "cifar10", "mnist") and holds_texts(options.data)


def run(options: argparse.Namespace, began: float) -> int:
    """Train pairs of equal students, one alone and one distilled, and compare them on the test texts.

    Returns the exit status. Raises ``ValueError`` for options that are for images alone.
    """
    print(f"{options.data} holds texts (.txt) and no image: students are small BERTs that classify texts", flush=True)
    _check(options)
    data = kdkit.data.labelled_texts(options.data)
    teacher = _teacher(options, data)
    _fill(options, data)
    _say(options, data)
    fingerprint = kdkit.models.fingerprint(teacher)
    name = f"{data.name}-{fingerprint[:8]}-{data.train.fingerprint[:8]}-students-{reports.digest(options)}"
    from kdkit.studies import texts

    found = texts.compare(
        lambda seed: _student(options, teacher, len(data.classes), seed),
        data,
        teacher,
        seeds=options.seeds,
        folder=options.runs / name,
        done=lambda arm, seed, _: print(f"seed {seed}: {arm} is trained", flush=True),
        **{each: getattr(options, each) for each in ("epochs", "batch_size", "lr", *texts.KD)},
    )
    about = {"teacher_fingerprint": fingerprint, "cost": _cost(options, data, teacher)}
    return _conclude(options, data, found, about, began)


def _conclude(options, data, found, about, began):
    broken = failed(found["runs"], data.test.labels)
    for row in found["runs"]:
        print(f"seed {row['seed']}: alone {row['student_alone']:.2%}, distilled {row['student_distilled']:.2%}")
    print(f"teacher: test accuracy {found['teacher_accuracy']:.2%}")
    verdict = None if broken else found["verdict"]
    print(f"distillation: {verdict or 'nothing can be said, for these students have not learnt:'}", *broken, sep="\n  ")
    for who, spent in about["cost"].items():
        print(f"{who}: {spent['parameters']:,} parameters")
    parts = {"train": data.train, "val": data.val, "test": data.test}
    result = {"data": data.name, "train_texts": len(data.train), **found, "verdict": verdict, "broken": broken}
    result |= {"texts": {name: len(part) for name, part in parts.items()}, "classes": list(data.classes)}
    result |= {"source": reports.without_home(data.source), "notes": reports.without_home(list(data.notes))}
    result |= {"teacher": reports.without_home(options.teacher[0]), "train_fingerprint": data.train.fingerprint}
    result |= {"test_fingerprint": data.test.fingerprint, **about, **reports.made(options)}
    reports.write(options, result, began)
    return 1 if broken else 0


def _check(options):
    """``ValueError`` for options that only images have, and for any number of teachers but one."""
    kdkit.data.files.refuse_several_processes("distilling text classifiers")
    kdkit.losses.arguments.check_temperature(options.temperature)
    kdkit.losses.resolve_weights(options.soft_weight, options.hard_weight, have_labels=True)
    given = [name for name in NOT_FOR_TEXTS if getattr(options, name) not in (None, False)]
    given += [name for name, usual in USUAL.items() if getattr(options, name) != usual]
    if given:
        flags = " and no ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"{options.data} holds texts, for which there is no {flags}: leave that out.")
    if len(options.teacher or []) != 1:
        raise ValueError(
            "texts need one --teacher: the folder of a Hugging Face sequence classifier with its tokenizer, or "
            "MODULE:FUNCTION that returns a kdkit.models.for_texts.ForTexts."
        )


def _teacher(options: argparse.Namespace, data: TextSplits) -> ForTexts:
    from kdkit.models.for_texts import ForTexts, text_classifier

    name, mapped = options.teacher[0], teachers.class_map(options.class_map)
    if mapped is not None:
        options.class_map = mapped  # a setting of the result: what was meant, not where it stood
    network = teachers.made(name) if teachers.FUNCTION.fullmatch(name) else text_classifier(name)
    if not isinstance(network, ForTexts):
        raise ValueError(
            f"--teacher {name} returned a {type(network).__name__}; for texts it must be a "
            "kdkit.models.for_texts.ForTexts(network, tokenizer), which knows how texts become tokens."
        )
    try:
        network = network.for_classes(data.classes, mapped)
    except ValueError as problem:
        raise ValueError(f"--teacher {name}: {problem}{teachers.class_map_advice(problem)}") from None
    network = network.to(networks.device(options.device))
    kdkit.models.eval_mode(network)
    return network


def _fill(options, data):
    """The options that were left out: those of texts, with enough steps for as many of them as there are."""
    from kdkit.training.texts import BATCH_SIZE, PEAK_LR

    size = BATCH_SIZE if options.batch_size is None else options.batch_size
    options.batch_size, epochs = kdkit.training.proposed(len(data.train), EPOCHS, size)
    options.epochs = epochs if options.epochs is None else options.epochs
    options.lr = PEAK_LR if options.lr is None else options.lr
    options.width, options.depth = options.width or WIDTH, options.depth or DEPTH


def _say(options, data):
    sizes = f"to train {len(data.train):,}, to validate {len(data.val):,}, to test {len(data.test):,}"
    print(f"{data.name}: {len(data.classes)} classes: {', '.join(data.classes)}", f"from {data.source}", sep="\n")
    print(f"texts {sizes}", *data.notes, sep="\n")
    print(f"to train: {options.epochs} epochs, up to {options.batch_size} texts a step", flush=True)


def _student(options: argparse.Namespace, teacher: ForTexts, classes: int, seed: int) -> ForTexts:
    """A BERT with random weights that reads the teacher's tokens."""
    from kdkit.models import bert
    from kdkit.models.for_texts import ForTexts

    body = bert.teacher(options.width, options.depth, len(teacher.tokenizer), teacher.max_length, seed)
    made = ForTexts(bert.classifier(body, classes, seed=seed), teacher.tokenizer, max_length=teacher.max_length)
    return made.to(networks.device(options.device))


def _cost(options, data, teacher):
    both = {"student": _student(options, teacher, len(data.classes), 0), "teacher": teacher}
    return {name: {"parameters": kdkit.models.count_parameters(network)} for name, network in both.items()}
