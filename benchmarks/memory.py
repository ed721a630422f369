"""What keeping freed memory is worth: seconds per epoch with and without, taking turns.

    python benchmarks/memory.py --width 8 --depth 6

Each turn is a process of its own: once the allocator has been told anything, it no longer adapts by itself, so an
untouched process is the only fair baseline.
"""

import argparse
import statistics
import subprocess
import sys

import kdkit
from kdkit import models
from kdkit.data import things
from kdkit.measure import machine


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arm", choices=["kept", "untouched"], help="run one turn and print its seconds")
    options = parser.parse_args()
    if options.arm:
        print(turn(options))
        return
    seconds = {"kept": [], "untouched": []}
    for _ in range(options.rounds):
        for arm, taken in seconds.items():
            command = [sys.executable, *sys.argv, "--arm", arm]
            taken.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    ratios = sorted(kept / other for kept, other in zip(seconds["kept"], seconds["untouched"], strict=True))
    medians = ", ".join(f"{arm} {statistics.median(taken):.2f} s/epoch" for arm, taken in seconds.items())
    spread = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"student {options.width}x{options.depth}: {medians}; ratio {statistics.median(ratios):.3f} ({spread})")


def turn(options):
    """Seconds per epoch of one training, its first epoch left out."""
    if options.arm == "untouched":
        machine.keep_freed = lambda: False
    splits, seconds = things.splits(500), []
    for epochs in 1, 3:
        student = models.student(options.width, options.depth)
        seconds.append(kdkit.train(student, splits, epochs=epochs, progress=False).seconds)
    return seconds[1] / 3


if __name__ == "__main__":
    main()
