"""``python -m kdkit evaluate``: how good a trained network is."""

import argparse
import time

import kdkit
from kdkit.cli import networks, reports, text_networks
from kdkit.cli.options import (
    CARD_SIZE,
    OR_TEXTS,
    Commands,
    add_command,
    add_computing,
    add_data,
    check,
    load_data,
)


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "evaluate", run, "measure a trained network on the test images, or texts")
    add_data(parser, CARD_SIZE, OR_TEXTS)
    add_computing(parser)
    parser.add_argument("network", help="a .safetensors file, a name that ships with the kit, or, for texts, a folder")


def run(options: argparse.Namespace) -> int:
    """Measure a trained network on the test images: accuracy, and how well its confidence can be trusted.

    With a folder of texts (.txt) as --data, NETWORK is the folder of a text classifier: a student that distill --out
    kept, or one of Hugging Face's with its tokenizer.
    """
    began = time.perf_counter()
    check(options)
    if text_networks.are_meant(options):
        return text_networks.evaluate(options, began)
    data = load_data(options, networks.size(networks.card(options.network)))
    network = networks.read(options.network, data).to(networks.device(options.device))
    results = networks.measure(network, data.test, data.views.flip)
    results["parameters"] = kdkit.models.count_parameters(network)
    print(f"{options.network} on {len(data.test):,} test images of {data.name} ({data.source})")
    with_flips = f" ({results['accuracy_with_flips']:.2%} with mirror images)" if data.views.flip else ""
    print(f"accuracy {results['accuracy']:.2%}{with_flips}, expected calibration error {results['ece']:.3f}")
    report = {"network": reports.without_home(options.network), **reports.origin(data, options), "results": results}
    reports.write(options, report, began)
    return 0
