"""``python -m kdkit export``: a trained network as a file that runs without kdkit."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import kdkit
from kdkit.cli import networks, reports, text_networks
from kdkit.cli.options import Commands, add_command, add_data, add_json, check, load_data

FORMATS = ("pt2", "onnx", "onnx-int8")  # kdkit.export.ENDINGS, which needs torch to be imported


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "export", run, "a trained network as a file that runs without kdkit")
    add_data(parser, size=None)
    add_json(parser)
    parser.add_argument("network", help="a .safetensors file or a name that ships with the kit")
    which = "pt2 (for torch), onnx, onnx-int8 (8-bit integers); several will do"
    parser.add_argument("--to", nargs="+", choices=FORMATS, default=["onnx"], metavar="FORMAT", help=which)
    parser.add_argument("--out", metavar="FOLDER", help="folder for the files (default: that of NETWORK, or this one)")


def run(options: argparse.Namespace) -> int:
    """Write a network as files that run where only ONNX Runtime (or torch) is, and measure each beside the original.

    Any number of images at once may be given to them. They say themselves which classes they know and how their images
    were prepared. Integers get their ranges from validation images; what is measured, on test images, is what was
    written.
    """
    began = time.perf_counter()
    check(options)
    text_networks.refuse_export(options.network)
    card, in_file = networks.card(options.network), options.network.endswith(".safetensors")
    data = load_data(options, networks.size(card))
    network = networks.read(options.network, data)
    own = kdkit.data.files.expanded(options.network) if in_file else Path(f"{options.network}.safetensors")
    stem = (options.out or own.parent) / own.stem
    note = kdkit.export.about(data.test, {"name": own.stem, **card})
    paths = kdkit.export.write(network, options.to, stem, data.val, note)
    found = kdkit.export.measured(network, paths, data.test)
    print(f"{options.network} on {len(data.test):,} test images of {data.name}:", *told(found), sep="\n  ")
    results = {"network": reports.without_home(options.network), "sha256": card.get("sha256"), "exports": found}
    reports.write(options, {**results, **reports.origin(data, options)}, began)
    return 0


def told(found: dict[str, dict]) -> Iterator[str]:
    """A line about the original and one about each file, from what ``kdkit.export.measured`` gave."""
    for name, row in found.items():
        times = ", ".join(f"{value:.2f} ms for {batch}" for batch, value in row["milliseconds"].items())
        if "file" not in row:
            yield f"{name}: accuracy {row['accuracy']:.2%}; {times}"
            continue
        size, long = kdkit.data.files.in_words(row["bytes"]), row["times_as_long"]["1"]
        yield f"{name}: {row['file']}, {size}; accuracy {row['accuracy']:.2%}; {times}: one takes {long}"
        answers = f"the same answer as the original on {row['agreement']:.2%} of the images"
        yield f"  {answers}; logits differ by {row['largest_difference']:.2g} at most"
