"""``python -m kdkit evaluate``: how good a trained network is."""

import argparse
import time

import kdkit
from kdkit.cli import networks, reports
from kdkit.cli.options import CARD_SIZE, Commands, add_command, add_computing, add_data, check, load_data


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "evaluate", run, "measure a trained network on the test images")
    add_data(parser, CARD_SIZE)
    add_computing(parser)
    parser.add_argument("network", help="a .safetensors file or a name that ships with the kit")


def run(options: argparse.Namespace) -> int:
    """Measure a trained network on the test images: accuracy, and how well its confidence can be trusted."""
    began = time.perf_counter()
    check(options)
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
