"""``python -m kdkit train-gpt``: a small GPT that writes sums, kept in a file."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import kdkit
from kdkit.cli import networks, reports
from kdkit.cli.options import Commands, add_command, add_computing, add_runs, check, schedule

if TYPE_CHECKING:
    from torch.nn import Module

LIMITS = (
    "It answers prompts such as 087= with a sum of two numbers from 1 to 99, and knows nothing else. It has learnt all "
    "right sentences by heart: nothing is held out, for the question is how evenly and how rightly it writes them."
)


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "train-gpt", run, "train a GPT that writes a sum which makes n")
    add_computing(parser)
    parser.add_argument("--epochs", type=int, default=50, help="how often all 9,801 sentences are read")
    parser.add_argument("--batch-size", type=int, default=128, help="sentences a step")
    parser.add_argument("--lr", type=float, default=5e-3, help="peak learning rate")
    parser.add_argument("--width", type=int, default=64, help="of a layer")
    parser.add_argument("--depth", type=int, default=2, help="layers")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights and order")
    add_runs(parser, "folder for teachers and checkpoints")
    parser.add_argument("--out", help="where to keep the network (default: RUNS/sums-gpt.safetensors)")


def run(options: argparse.Namespace) -> int:
    """Train a GPT to answer 087= with a sum that makes 87, and compute the probability of each of its sentences."""
    from kdkit.data import sums
    from kdkit.models import gpt
    from kdkit.training import generators

    began = time.perf_counter()
    check(options)
    out = options.out or options.runs / "sums-gpt.safetensors"
    texts = sums.sentences()
    made = {"data": "sums", "source": "all sums of two numbers from 1 to 99", **reports.made(options)}
    made |= {"train_fingerprint": generators.fingerprint(texts), "sentences": len(texts.input_ids)}
    networks.check_place(out, made)  # before the training, not after it
    network = gpt.gpt(options.width, options.depth, len(sums.CHARACTERS), sums.LENGTH, seed=options.seed)
    network.to(networks.device(options.device))  # type: ignore[arg-type]  # its decorator loses the overloads
    print(f"teacher: {kdkit.models.count_parameters(network):,} parameters", flush=True)
    checkpoint = options.runs / f"sums-gpt-{reports.digest(options)}.checkpoint"
    trained = generators.train(network, texts, seed=options.seed, checkpoint=checkpoint, **schedule(options))
    card = {"name": reports.without_home(Path(out).stem), **made, "seconds": round(trained.seconds, 1)}
    card = measured(network, card)
    networks.keep(network, out, card)
    found = card["results"]
    print(f"right with probability {found['validity']:.2%}, coverage {found['coverage']:.2%}; kept in {out}")
    reports.write(options, card, began)
    return 0


def measured(network: Module, card: dict) -> dict:
    """The card with what is known after the training. ``ValueError`` if the network has learnt nothing."""
    from kdkit.data import sums
    from kdkit.measure import exact

    card = {**card, "limits": LIMITS, "device": networks.hardware(network)}
    written, texts = networks.as_written(network, card), sums.sentences()
    totals = sums.totals(texts.input_ids)
    found = exact.judge(exact.log_probabilities(written, texts), totals)
    evenly = -math.log(len(sums.CHARACTERS)) * texts.loss_mask.sum(1).double()
    if not found["truth_kl"] < exact.judge(evenly, totals)["truth_kl"]:
        raise ValueError(
            "the network is no better at sums than whoever draws each character evenly: it is not kept. Give it more "
            "--epochs."
        )
    return {**card, "results": found}
