"""``python -m kdkit train-bert``: a small BERT, kept in a file with the word pieces that it knows."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

import kdkit
from kdkit.cli import networks, reports
from kdkit.cli.options import Commands, add_command, add_computing, add_runs, check, schedule

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from kdkit.data.tokens import Corpus

LIMITS = (
    "It has read the documentation of one programming language and nothing else: of anything else it knows next to "
    "nothing. What it says of Python may be wrong."
)


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "train-bert", run, "train a BERT that guesses words")
    add_computing(parser)
    parser.add_argument("--data", default="python", help="python (its documentation), or a folder with .txt files")
    parser.add_argument("--epochs", type=int, default=80, help="how often all texts are read")
    parser.add_argument("--batch-size", type=int, default=64, help="pieces of 128 tokens a step")
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--width", type=int, default=176, help="of a layer")
    parser.add_argument("--depth", type=int, default=6, help="layers")
    parser.add_argument("--words", type=int, default=3000, help="word pieces to know")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, order and hidden words")
    add_runs(parser, "folder for teachers and checkpoints")
    parser.add_argument("--out", help="where to keep the teacher (default: RUNS/DATA-bert.safetensors)")


def run(options: argparse.Namespace) -> int:
    """Train a BERT to guess hidden words, on English text that is on every machine with Python, or on your own.

    Word pieces are learnt first. They are kept for these texts, so that a run that was stopped goes on with the same.
    """
    from kdkit.data import tokens

    began = time.perf_counter()
    check(options)
    name, documents = read_texts(options)
    out = options.out or options.runs / f"{name}-bert.safetensors"
    made = origin(name, documents, options)
    networks.check_place(out, made)  # before the training, not after it
    network = kdkit.bert.teacher(options.width, options.depth, options.words, seed=options.seed)
    network = network.to(networks.device(options.device))
    tokenizer = word_pieces(documents, options)
    corpus = tokens.corpus(documents, tokenizer)
    parts = ", ".join(f"{len(getattr(corpus, part).ids):,} for {part}" for part in ("train", "val", "test"))
    print(f"{len(documents)} documents; pieces of text: {parts}", flush=True)
    print(f"teacher: {kdkit.models.count_parameters(network):,} parameters", flush=True)
    checkpoint = options.runs / f"{name}-bert-{made['train_fingerprint'][:8]}-{reports.digest(options)}.checkpoint"
    trained = kdkit.masked_lm.train(network, corpus, seed=options.seed, checkpoint=checkpoint, **schedule(options))
    card = {"name": reports.without_home(out.stem), **made, "seconds": round(trained.seconds, 1)}
    card = measured(network, corpus, card)
    networks.keep(network, out, card, words=tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    found = card["results"]
    print(f"test perplexity {found['perplexity']:.2f}, {found['accuracy']:.2%} of hidden words; kept in {out}")
    reports.write(options, card, began)
    return 0


def read_texts(options: argparse.Namespace) -> tuple[str, dict[str, str]]:
    """The name of ``--data`` and its documents by name. Raises as ``kdkit.data.text.folder`` does."""
    from kdkit.data import folders, text

    if options.data == "python":
        return "python", text.python()
    documents = text.folder(options.data)
    return folders.data_name(Path(options.data)), documents


def origin(name: str, documents: dict[str, str], options: argparse.Namespace) -> dict[str, object]:
    """What made a network that reads: the texts, and what ``reports.made`` says."""
    source = reports.without_home(f"text files in {options.data}")
    if options.data == "python":
        source = f"the documentation that Python {platform.python_version()} brings: help topics and docstrings"
    fingerprint = hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()[:16]
    return {"data": name, "source": source, **reports.made(options), "train_fingerprint": fingerprint}


def word_pieces(documents: dict[str, str], options: argparse.Namespace) -> PreTrainedTokenizerBase:
    """The tokenizer of the word pieces of these texts, learnt unless that has been done.

    Raises ``ValueError`` where the texts hold fewer than ``--words``.
    """
    from kdkit.data import text, tokens

    texts = [*text.split(documents).train.values()]
    digest = hashlib.sha256(json.dumps([options.words, texts]).encode()).hexdigest()[:8]
    kept = options.runs / f"words-{digest}.safetensors"  # beside no network: the .txt alone
    if not kept.with_suffix(".txt").exists():
        words = tokens.learn_words(texts, options.words)
        if len(words) < options.words:
            raise ValueError(
                f"these texts hold {len(words)} word pieces, fewer than --words {options.words}. Give a smaller number."
            )
        kdkit.zoo.save_words(words, kept)
    return kdkit.zoo.read_words(kept, options.words)


def measured(network: Module, corpus: Corpus, card: dict) -> dict:
    """The card with what is known after the training. ``ValueError`` if the network has learnt nothing."""
    card = {**card, "pieces": len(corpus.train.ids), "limits": LIMITS, "device": networks.hardware(network)}
    written = networks.as_written(network, card).to(kdkit.models.device_of(network))
    found = kdkit.masked_lm.report(written, corpus)
    if not found["perplexity"] < found["untrained"]["perplexity"]:
        raise ValueError(
            f"the network is no better at guessing than an untrained one (perplexity {found['perplexity']:.0f}): it is "
            "not kept. Give it more --epochs, or more text."
        )
    return {**card, "results": found}
