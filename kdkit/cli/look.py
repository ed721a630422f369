"""``python -m kdkit look``: what lies in a folder of images or texts, before anything is trained on it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import kdkit
from kdkit.cli.options import SIZE_HELP, Commands, add_command, are_texts, check

LISTED = 40  # classes in the table; of more, those with the fewest images or texts


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "look", run, "what lies in a folder of images or texts, and what is odd about it")
    what = "a folder of images, or of texts (.txt), one subfolder a class; or things, cifar10, mnist"
    parser.add_argument("data", help=what)
    parser.add_argument("--size", type=int, metavar="N", help=SIZE_HELP)


def run(options: argparse.Namespace) -> int:
    """Say what a training would learn from: classes, parts, sizes; and what is too little, odd, or there twice.

    The sentences are those with which train-teacher and distill begin. Images that are scaled here are kept for them.
    """
    check(options)
    what = "texts" if are_texts(options) else "images"
    data = _texts(options) if what == "texts" else kdkit.data.load(options.data, size=options.size)
    print(*kdkit.data.describe(data, what), sep="\n")
    print(*table(kdkit.data.counts(data), what), sep="\n")
    return 0


def _texts(options):
    if options.size is not None:
        raise ValueError(f"{options.data} holds texts, which have no --size: leave that out.")
    return kdkit.data.labelled_texts(options.data)


def table(counts: dict[str, dict[str, int]], what: str = "images") -> Iterator[str]:
    """Lines of how many images (or ``what`` there is) each class has in each part: the fewest first."""
    rows = sorted(counts.items(), key=lambda row: sum(row[1].values()))
    width = max(len(name) for name, _ in rows[:LISTED])
    yield f"\n{'':{width}} {'train':>8} {'val':>8} {'test':>8}"
    for name, parts in rows[:LISTED]:
        yield f"{name:{width}} {parts['train']:8,} {parts['val']:8,} {parts['test']:8,}"
    if len(rows) > LISTED:
        yield f"and {len(rows) - LISTED:,} classes with more {what}"
