"""``python -m kdkit train-teacher``: a teacher of images, kept in a file."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import kdkit
from kdkit.cli import networks, proposals, reports, several
from kdkit.cli.options import (
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

EPOCHS = 10  # usually
TEXTS = (
    "teachers are trained here on images alone. Fine-tune a text classifier of Hugging Face's, with its Trainer or "
    "with kdkit.training.texts.train(kdkit.models.for_texts.text_classifier(FOLDER), kdkit.data.labelled_texts(DATA), "
    "epochs=3, lr=5e-5); keep network and tokenizer in one folder (save_pretrained), and give distill --teacher that "
    "folder. Or a MODULE:FUNCTION that returns a kdkit.models.for_texts.ForTexts."
)


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "train-teacher", run, "train a teacher and keep it in a file")
    add_data(parser)
    add_computing(parser)
    add_training(parser, EPOCHS)
    proposals.add_minutes(parser)
    parser.add_argument("--width", type=int, default=32, help="channels of the first stage; 64 is better and slower")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights and order")
    copies = "also learn from two corrupted copies of each image: compressed again, and out of focus"
    parser.add_argument("--corrupted", action="store_true", help=copies)
    parser.add_argument("--out", help="where to keep the teacher (default: RUNS/DATA-teacher.safetensors)")


def run(options: argparse.Namespace) -> int:
    """Train a teacher with plain cross-entropy (no label smoothing: it would flatten what a student is to learn)."""
    began = time.perf_counter()
    check(options)
    _refuse_texts(options)
    proposals.check(options)
    data = load_data(options)
    if options.corrupted:
        data = kdkit.data.corruptions.with_corrupted_copies(data)
    out = options.out or options.runs / f"{data.name}-teacher.safetensors"
    proposals.fill(options, data, EPOCHS, None, data)
    plan(options, data, EPOCHS)
    origin = reports.origin(data, options)
    networks.check_place(out, origin)  # before the training, not after it
    classes, channels = len(data.train.classes), data.train.images.shape[1]
    network = kdkit.models.teacher(options.width, classes, channels, options.seed).to(networks.device(options.device))
    print(f"teacher: {kdkit.models.count_parameters(network):,} parameters", flush=True)
    checkpoint = options.runs / f"{data.name}-teacher-{data.train.fingerprint[:8]}-{reports.digest(options)}.checkpoint"
    trained = kdkit.train(network, data, seed=options.seed, checkpoint=checkpoint, **schedule(options), **how(options))
    if several.rank():  # the first process alone measures and writes
        return 0
    card = {"name": reports.without_home(out.stem), **origin, "seconds": round(trained.seconds, 1)}
    card = measured(network, data, card)
    networks.keep(network, out, card)
    print(f"test accuracy {card['results']['accuracy']:.2%}, {trained.seconds:.0f} s of training; kept in {out}")
    reports.write(options, card, began)
    return 0


def _refuse_texts(options):
    if are_texts(options):
        raise ValueError(f"{options.data} holds texts (.txt): {TEXTS}")


def measured(network: Module, data: Splits, card: dict) -> dict:
    """The card with what is known after the training. ``ValueError`` if the network is no better than guessing."""
    limits = networks.limits(data)
    card = {**card, "train_images": len(data.train), "limits": limits, "device": networks.hardware(network)}
    written = networks.as_written(network, card).to(kdkit.models.device_of(network))
    results = networks.measure(written, data.test, data.views.flip)
    networks.check_learnt(results["accuracy"], data.test)
    return {**card, "results": results}
