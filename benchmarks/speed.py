"""How close training comes to what the machine can do: arithmetic a second, as a share of a matrix multiplication's.

    python benchmarks/speed.py --json kdkit/course/measured/speed.json

The course's networks, a training step each, take turns with matrix multiplications of several sizes (the quickest
counts). Two shares: of three times the forward's operations, as such figures are usually given, and of the operations
that are really done (the first layers need no gradient for their input). For the smallest student also: where the time
of a step goes, by kind of operation.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

from kdkit import models
from kdkit.data import files
from kdkit.measure import machine, profiling
from kdkit.training import Batch, Distillation
from kdkit.training import images as recipe
from kdkit.training.step import step

import torch
from torch.profiler import ProfilerActivity, profile

NETWORKS = {
    "teacher": (64, 6, "float32"),
    "student 16x6": (16, 6, "float32"),
    "student 8x6": (8, 6, "float32"),
    "student 8x3": (8, 3, "float32"),
    "student 8x3, bf16": (8, 3, "bf16"),
}
SIDES = (1024, 2048, 4096)
KINDS = {  # the beginning of an operation's name, and what it is called here; the first that fits counts
    "aten::mkldnn_convolution": "convolutions, forward",
    "aten::convolution_backward": "convolutions, backward",
    "aten::max_pool": "pooling",
    "aten::amax": "pooling",
    "aten::native_batch_norm": "normalisation",
    "aten::clamp_min": "ReLU",
    "aten::relu": "ReLU",
    "aten::threshold": "ReLU",
    "Optimizer": "optimiser",
    "aten::mul_": "optimiser",
    "aten::add_": "optimiser",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    load = profiling.load()
    machine.keep_freed()  # as kdkit.train does
    steps = {name: Step(*size, options.batch_size) for name, size in NETWORKS.items()}
    products = {f"product {side}": _product(side) for side in SIDES}
    taken = profiling.latency({**steps, **products}, rounds=options.rounds)
    rate = max(2 * side**3 / taken[f"product {side}"].median for side in SIDES)
    rows = {name: step.row(taken[name].median, rate) for name, step in steps.items()}
    result = {"batch_size": options.batch_size, "matmul_gflops": rate / 1e9, "networks": rows}
    result |= {"breakdown": breakdown(steps["student 8x3"]), "load": load, "versions": machine.versions()}
    print(f"matrix multiplication {rate / 1e9:.0f} GFLOP/s, batches of {options.batch_size}, load {load}")
    for name, row in rows.items():
        print(
            f"{name:17} {row['images_per_second']:7,.0f} images/s, forward {row['forward_mflop']:6.1f} MFLOP an image, "
            f"share of the machine: {row['share']:.2f} (3 x forward), {row['share_counted']:.2f} (counted)"
        )
    print("a step of the smallest student:")
    for kind, share in result["breakdown"].items():
        print(f"  {share:6.1%}  {kind}")
    if options.json:
        with files.replacing(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


class Step:
    """One training step of a network on a batch: call it."""

    def __init__(self, width, depth, precision, batch_size):
        self.network, self.precision = models.student(width, depth), precision
        inputs = torch.rand(batch_size, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        self.batch = Batch(inputs, torch.arange(batch_size) % 10)
        settings = {"momentum": recipe.MOMENTUM, "nesterov": True, "weight_decay": recipe.WEIGHT_DECAY}
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.01, **settings)

    def __call__(self):
        step(self.network, self.batch, Distillation(), self.optimizer, precision=self.precision)

    def row(self, seconds, rate):
        forward = profiling.flops(self.network, self.batch.inputs)
        return {
            "images_per_second": len(self.batch.inputs) / seconds,
            "forward_mflop": forward / len(self.batch.inputs) / 1e6,
            "share": 3 * forward / seconds / rate,
            "share_counted": profiling.training_flops(self.network, self.batch.inputs) / seconds / rate,
        }


def _product(side):
    first, second = torch.rand(2, side, side)
    return lambda: first @ second


def breakdown(step, repeats=10):
    """Which share of a step's time went to which kind of operation, the largest first: a dict."""
    step()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(repeats):
            step()
    times = defaultdict(float)
    for event in seen.key_averages():
        kind = next((kind for start, kind in KINDS.items() if event.key.startswith(start)), "all else")
        times[kind] += event.self_cpu_time_total
    total = sum(times.values())
    return {kind: time / total for kind, time in sorted(times.items(), key=lambda item: -item[1])}


if __name__ == "__main__":
    main()
