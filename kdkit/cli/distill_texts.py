"""``python -m kdkit distill --data FOLDER`` where the folder holds texts: small BERTs learn from a text classifier."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import kdkit
from kdkit.cli import networks, reports, teachers, text_networks
from kdkit.cli.evidence import failed, said_cost

if TYPE_CHECKING:
    from kdkit.data import TextSplits
    from kdkit.models.for_texts import ForTexts

EPOCHS, WIDTH, DEPTH = 8, 64, 2  # usually
NOT_FOR_TEXTS = ("size", "stream", "minutes", "latency_ms", "top_k", "train_images", "compile")
USUAL = {"accumulate": 1, "precision": "float32", "max_grad_norm": 2.0}  # other values mean nothing here


def run(options: argparse.Namespace, began: float) -> int:
    """Train pairs of equal students, one alone and one distilled, and compare them on the test texts.

    Returns the exit status. Raises ``ValueError`` for options that are for images alone.
    """
    print(f"{options.data} holds texts (.txt) and no image: students are small BERTs that classify texts", flush=True)
    _check(options)
    data = kdkit.data.labelled_texts(options.data)
    teacher = _teacher(options, data)
    _fill(options, data)
    _say(options, data, teacher)
    origin = text_networks.origin(data, options)
    origin |= {"teacher": reports.without_home(options.teacher[0])}
    origin |= {"teacher_fingerprint": kdkit.models.fingerprint(teacher)}
    if options.out:
        text_networks.check_place(options.out, origin)  # before the training, not after it
    evidence = text_networks.TextEvidence(teacher, data, data)
    print(f"teacher: test accuracy {evidence.teacher_accuracy:.2%}", flush=True)
    name = f"{data.name}-{reports.fingerprints(teacher, data)}-students-{reports.digest(options)}"
    from kdkit.studies import texts

    found = texts.compare(
        lambda seed: student(options, teacher, data.classes, seed),
        data,
        teacher,
        seeds=options.seeds,
        folder=options.runs / name,
        done=lambda *student: _note(evidence, *student),
        **{each: getattr(options, each) for each in ("epochs", "batch_size", "lr", *texts.KD)},
    )
    return _concluded(options, evidence, found, origin, began)


def _note(evidence, arm, seed, run):
    said = "diverged" if run is None else f"{evidence.add(arm, seed, run):.2%}"
    print(f"seed {seed}: {arm} {said}", flush=True)


def _concluded(options, evidence, found, origin, began):
    """Say and write what the students show; the exit status."""
    data, broken = evidence.data, failed(found["runs"], evidence.data.test.labels)
    verdict = None if broken else found["verdict"]
    print(f"distillation: {verdict or 'nothing can be said, for these students have not learnt:'}", *broken, sep="\n  ")
    result = {"data": data.name, "train_texts": len(data.train), **found, "verdict": verdict, "broken": broken}
    result |= {"limits": text_networks.LIMITS, **evidence.facts(), **origin}
    print(*said_cost(result["cost"], "text"), sep="\n")
    if options.out:
        evidence.keep(options.out, result)
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


def _say(options, data, teacher):
    print(*kdkit.data.describe(data, "texts"), *cut(teacher, data), sep="\n")
    steps = options.epochs * -(-len(data.train) // options.batch_size)
    print(f"to train: {options.epochs} epochs, up to {options.batch_size} texts a step", flush=True)
    if steps < kdkit.training.ENOUGH_STEPS:
        print(f"ATTENTION: that is {steps} steps in all, which teach little: give more --epochs.", flush=True)


def cut(network: ForTexts, data: TextSplits) -> Iterator[str]:
    """A sentence about texts that are longer than what ``network`` reads of them, if there are any."""
    texts = [text for part in (data.train, data.val, data.test) for text in part.texts]
    tokens = network.tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    longer = sum(len(each) > network.max_length for each in tokens)
    if longer:
        yield (
            f"{longer:,} of {len(texts):,} texts have more than {network.max_length} tokens: only their beginning is "
            "read. If what tells the class stands later, cut your texts; or have a MODULE:FUNCTION return "
            "kdkit.models.for_texts.text_classifier(FOLDER, max_length=512), as far as your teacher can read that."
        )


def student(options: argparse.Namespace, teacher: ForTexts, classes: Sequence[str], seed: int) -> ForTexts:
    """A BERT with random weights that reads the teacher's tokens."""
    from kdkit.models import bert
    from kdkit.models.for_texts import ForTexts

    body = bert.teacher(options.width, options.depth, len(teacher.tokenizer), teacher.max_length, seed)
    body.config.pad_token_id = teacher.tokenizer.pad_token_id
    network = bert.classifier(body, len(classes), seed=seed)
    made = ForTexts(network, teacher.tokenizer, max_length=teacher.max_length, classes=classes)
    return made.to(networks.device(options.device))
