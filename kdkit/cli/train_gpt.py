"""``python -m kdkit train-gpt``: a small GPT that writes sums, or English of Python's documentation, kept in a file."""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import kdkit
from kdkit.cli import networks, reports
from kdkit.cli.options import Commands, add_command, add_computing, add_runs, check, schedule

if TYPE_CHECKING:
    from torch.nn import Module

    from kdkit.data.answers import Answers

SUMS_LIMITS = (
    "It answers prompts such as 087= with a sum of two numbers from 1 to 99, and knows nothing else. It has learnt all "
    "right sentences by heart: nothing is held out, for the question is how evenly and how rightly it writes them."
)
PYTHON_LIMITS = (
    "It has read half a million tokens of the documentation of one programming language and nothing else. What it "
    "writes looks like that from afar, and means nothing."
)
USUAL = {  # what the options are where they are left out
    "sums": {"epochs": 50, "batch_size": 128, "lr": 5e-3, "width": 64, "depth": 2},
    "python": {"epochs": 8, "batch_size": 32, "lr": 3e-3, "width": 96, "depth": 4},
}
TOKENIZER = "python-teacher"  # that of the shipped BERT, so that both networks read the same tokens
LENGTH = 64  # tokens of a text of "python"


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "train-gpt", run, "train a GPT that writes a sum which makes n, or English")
    add_computing(parser)
    parser.add_argument("--data", default="sums", choices=[*USUAL], help="sums, or Python's documentation")
    for name, kind, meaning in (
        ("epochs", int, "how often all texts are read"),
        ("batch-size", int, "texts a step"),
        ("lr", float, "peak learning rate"),
        ("width", int, "of a layer"),
        ("depth", int, "layers"),
    ):
        usual = ", ".join(f"{settings[name.replace('-', '_')]:g} for {data}" for data, settings in USUAL.items())
        parser.add_argument(f"--{name}", type=kind, help=f"{meaning} (default: {usual})")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights and order")
    add_runs(parser, "folder for teachers and checkpoints")
    parser.add_argument("--out", help="where to keep the network (default: RUNS/DATA-gpt.safetensors)")


def run(options: argparse.Namespace) -> int:
    """Train a GPT to answer 087= with a sum that makes 87, or to write as Python's documentation does.

    Of each sum the probability is computed; of the documentation, the perplexity on texts that were held out.
    """
    from kdkit.models import gpt
    from kdkit.training import generators

    began = time.perf_counter()
    check(options)
    for name, usual in USUAL[options.data].items():
        setattr(options, name, usual if getattr(options, name) is None else getattr(options, name))
    out = options.out or options.runs / f"{options.data}-gpt.safetensors"
    kdkit.zoo.check_path(out)
    kind = KINDS[options.data]()
    made = {"data": options.data, **kind.about, **reports.made(options)}
    made |= {"train_fingerprint": generators.fingerprint(kind.texts)}
    networks.check_place(out, made)  # before the training, not after it
    network = gpt.gpt(options.width, options.depth, **kind.sizes, seed=options.seed)
    network.to(networks.device(options.device))  # type: ignore[arg-type]  # its decorator loses the overloads
    print(f"teacher: {kdkit.models.count_parameters(network):,} parameters", flush=True)
    checkpoint = options.runs / f"{options.data}-gpt-{reports.digest(options)}.checkpoint"
    trained = generators.train(network, kind.texts, seed=options.seed, checkpoint=checkpoint, **schedule(options))
    card = {"name": reports.without_home(Path(out).stem), **made, "seconds": round(trained.seconds, 1)}
    card |= {"device": networks.hardware(network)}
    written = networks.as_written(network, card).to(kdkit.models.device_of(network))
    card |= {"results": kind.measured(written)}
    networks.keep(network, out, card, kind.vocabulary)
    print(f"{', '.join(f'{name} {value:.4g}' for name, value in card['results'].items())}; kept in {out}")
    reports.write(options, card, began)
    return 0


class Kind(NamedTuple):
    """What a GPT learns: its texts, what its card says of them, what it is built for, and how it is measured.

    ``measured`` raises ``ValueError`` for a network that has learnt nothing.
    """

    texts: Answers
    about: dict[str, Any]
    sizes: dict[str, int]
    vocabulary: list[str] | None
    measured: Callable[[Module], dict[str, float]]


def _sums() -> Kind:
    from kdkit.data import sums
    from kdkit.measure import exact

    texts, vocab_size = sums.sentences(), len(sums.CHARACTERS)
    totals = sums.totals(texts.input_ids)

    def measured(written):
        found = exact.judge(exact.log_probabilities(written, texts), totals)
        evenly = -math.log(vocab_size) * texts.loss_mask.sum(1).double()
        if not found["truth_kl"] < exact.judge(evenly, totals)["truth_kl"]:
            raise ValueError(NOTHING.format("sums than whoever draws each character evenly"))
        return found

    about = {"source": "all sums of two numbers from 1 to 99", "sentences": len(texts.input_ids), "limits": SUMS_LIMITS}
    return Kind(texts, about, {"vocab_size": vocab_size, "max_length": sums.LENGTH}, None, measured)


def _python() -> Kind:
    from kdkit.data import text, tokens
    from kdkit.training import generators

    tokenizer = kdkit.zoo.tokenizer(TOKENIZER)
    corpus = tokens.corpus(text.python(), tokenizer, LENGTH)
    train, test = (tokens.to_write(part) for part in (corpus.train, corpus.test))

    def measured(written):
        seen, asked = (part.input_ids[part.loss_mask] for part in (train, test))
        counts = seen.bincount(minlength=len(tokenizer)).double() + 1
        common = math.exp(-(counts / counts.sum()).log()[asked].mean())
        found = generators.judge(written, test)
        if not found["perplexity"] < common:
            raise ValueError(NOTHING.format("English than whoever guesses by how common tokens are"))
        return {**found, "perplexity_by_frequency": common}

    source = f"the documentation that Python {platform.python_version()} brings: help topics and docstrings"
    about = {"source": source, "texts": len(train.input_ids), "limits": PYTHON_LIMITS}
    sizes = {"vocab_size": len(tokenizer), "max_length": LENGTH, "end": tokenizer.sep_token_id}
    vocabulary = tokenizer.convert_ids_to_tokens([*range(len(tokenizer))])
    return Kind(train, about, sizes, vocabulary, measured)


NOTHING = "the network is no better at {}: it is not kept. Give it more --epochs."
KINDS = {"sums": _sums, "python": _python}
