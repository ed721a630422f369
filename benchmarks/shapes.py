"""What decides how long a network takes: its layers, its operations or its parameters?

    python benchmarks/shapes.py --json kdkit/course/measured/shapes.json
    python benchmarks/shapes.py --threads 1 --json kdkit/course/measured/shapes-one-thread.json
    python benchmarks/shapes.py --busy 2 --json kdkit/course/measured/shapes-busy.json

- pairs of networks with about as many parameters and operations, one deep and thin, one shallow and wide, in turns,
  over sizes of batch (and lengths): how many times as long does the deep one take?
- all networks of a depth x width grid, in turns, for a small and for a large piece of work;
- a BERT's twelve layers, DistilBERT's six of the same width, and twelve thin ones with as many parameters as these.

Prediction only, without gradient. ``--threads 1`` computes with one thread, which need not wait for others: how much
of a layer's price is that? ``--busy N`` runs N other programs beside, which do nothing but multiply matrices: do the
conclusions hold on a machine that others use as well?
"""

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
from pathlib import Path

from kdkit import models
from kdkit.data import files
from kdkit.measure import machine, metrics, profiling

import torch

PAIRS = {  # (width, depth) of the shallow and of the deep network
    "encoder": ((256, 3), (128, 12)),
    "convnet": ((16, 3), (10, 13)),  # as many operations; the deep one has more than twice the parameters
}
BATCHES, LENGTHS = (1, 2, 4, 8, 16, 32), (1, 4, 16, 64, 128, 256)
IMAGE_BATCHES = (1, 4, 16, 64, 256)
GRIDS = {  # widths, depths
    "encoder": ((64, 128, 192, 256, 320, 384), (1, 2, 3, 4, 6, 8, 12)),
    "convnet": ((4, 8, 12, 16, 24, 32), (3, 4, 5, 6, 7, 8, 9)),
}
WORK = {"encoder": ((1, 1), (4, 64)), "convnet": ((1,), (64,))}  # (batch, length) or (batch,): small and large
BERTS = {"BERT's 12 x 768": (768, 12), "DistilBERT's 6 x 768": (768, 6), "thin, 12 x 544": (544, 12)}
TOKENS = (1, 16, 128)


def build(kind, width, depth):
    return models.encoder(width, depth) if kind == "encoder" else models.student(width, depth)


def inputs(kind, width, work):
    """Random inputs: ``work`` is (batch, length) for an encoder, (batch,) for a network of images."""
    generator = torch.Generator().manual_seed(0)
    if kind == "encoder":
        return torch.rand(*work, width, generator=generator)
    return torch.rand(*work, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)


def predicting(kind, shape, work):
    return profiling.predicting(build(kind, *shape), inputs(kind, shape[0], work))


def pairs(rounds):
    """One row for each pair and each piece of work: what ``profiling.compare`` gave, the shallow network first."""
    for kind, (shallow, deep) in PAIRS.items():
        works = (
            [(n, length) for n in BATCHES for length in LENGTHS] if kind == "encoder" else [(n,) for n in IMAGE_BATCHES]
        )
        for work in works:
            calls = {"shallow": predicting(kind, shallow, work), "deep": predicting(kind, deep, work)}
            seen = profiling.compare(calls, rounds)["deep"]
            yield {"kind": kind, "work": work, "ratio": seen.spread.values, "noise": seen.noise.values}


def grid(rounds):
    """One row for each network of the grids and each piece of work: its size and its seconds."""
    for kind, (widths, depths) in GRIDS.items():
        shapes = [(width, depth) for width in widths for depth in depths]
        for work in WORK[kind]:
            taken = profiling.latency({shape: predicting(kind, shape, work) for shape in shapes}, rounds)
            for shape, latency in taken.items():
                yield {"work": work, **size(kind, shape, work), "seconds": latency.values}


def size(kind, shape, work):
    network = build(kind, *shape)
    return {
        "kind": kind,
        "width": shape[0],
        "depth": shape[1],
        "parameters": models.count_parameters(network),
        "flops": profiling.flops(network, inputs(kind, shape[0], work)),
    }


def berts(rounds):
    """The same for shapes of BERTs, each against the twelve wide layers."""
    for tokens in TOKENS:
        calls = {name: predicting("encoder", shape, (1, tokens)) for name, shape in BERTS.items()}
        for name, ratio in profiling.compare(calls, rounds).items():
            row = {"name": name, "work": (1, tokens), **size("encoder", BERTS[name], (1, tokens))}
            yield {**row, "ratio": ratio.spread.values, "noise": ratio.noise.values}


@contextlib.contextmanager
def others(count):
    """So many processes that keep this machine busy."""
    context = multiprocessing.get_context("spawn")
    busy = [context.Process(target=_multiply, daemon=True) for _ in range(count)]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.terminate()


def _multiply():
    torch.set_num_threads(1)
    matrix = torch.rand(512, 512)
    while True:
        matrix @ matrix


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="other programs that run beside")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    about = {"settings": {"pairs": PAIRS, "rounds": options.rounds, "busy": options.busy}}
    about |= {"versions": machine.versions(), "load": profiling.load()}
    about |= {"waiting_threads": os.environ.get("OMP_WAIT_POLICY", "spin for a while, then sleep")}
    result = dict(about)
    with others(options.busy):
        for name, part in {"pairs": pairs, "berts": berts, "grid": grid}.items():
            result[name] = []
            for row in part(options.rounds):
                result[name].append(row)
                print(
                    {key: value for key, value in row.items() if key not in ("ratio", "noise", "seconds")}, flush=True
                )
    print("\n".join(table(result)))
    if options.json:
        with files.replacing(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


def table(result):
    """The main results as lines of Markdown; notebook 05 draws them all."""
    yield "| work at once | deep / shallow, median | middle half | noise |"
    yield "|---|---|---|---|"
    for row in result["pairs"]:
        spread, noise = profiling.Spread(row["ratio"]), profiling.Spread(row["noise"])
        low, high = spread.quartiles
        if row["kind"] == "convnet" or tuple(row["work"]) in TOLD:
            middle = f"{spread.median:.2f} | {low:.2f} to {high:.2f}"
            yield f"| {_work(row)} | {middle} | {min(noise.values):.2f} to {max(noise.values):.2f} |"
    yield ""
    yield "| work at once | layers | operations | parameters |"
    yield "|---|---|---|---|"
    for rows in itertools.groupby(result["grid"], key=_work):
        yield _correlations(*rows)


TOLD = (1, 1), (1, 16), (1, 128), (32, 128)


def _work(row):
    unit = "pictures" if row["kind"] == "convnet" else "sentences of {1} tokens"
    return f"{row['kind']}, {{0}} {unit}".format(*row["work"])


def _correlations(work, rows):
    rows = list(rows)
    taken = [profiling.Spread(row["seconds"]).median for row in rows]
    found = [metrics.rank_correlation([row[key] for row in rows], taken) for key in ("depth", "flops", "parameters")]
    return f"| {work} | {' | '.join(map(str, found))} |"


if __name__ == "__main__":
    main()
