"""What a loss takes besides two sets of logits of a large vocabulary: memory and seconds, in pieces and at once.

    python benchmarks/vocabulary.py --tokens 128 --vocabulary 150000

Memory is told in sizes of one set of logits. Each turn is a process of its own, and gives freed memory back at once.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import kdkit
from kdkit.losses import rows

import torch

LOSSES = "kl_divergence", "reverse_kl", "jensen_shannon"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--vocabulary", type=int, default=150_000)
    parser.add_argument("--piece", type=int, default=rows.PIECE)
    parser.add_argument("--loss", choices=LOSSES, help="run one turn and print what it took")
    options = parser.parse_args()
    if options.loss:
        print("{:.1f} times one set of logits, {:.1f} s".format(*turn(options)))
        return
    for loss in LOSSES:
        for name, piece in ("at once", 2**62), ("in pieces", options.piece):
            command = [sys.executable, *sys.argv, "--loss", loss, "--piece", str(piece)]
            frugal = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
            found = subprocess.run(command, capture_output=True, text=True, check=True, env=frugal).stdout
            print(f"{loss:15} {name:10} {found}", end="")


def turn(options):
    """The peak of memory besides both sets of logits, in sizes of one, and the seconds forth and back."""
    rows.PIECE = options.piece
    student, teacher = (torch.empty(1, options.tokens, options.vocabulary).normal_() for _ in range(2))
    student.requires_grad_()
    before, peak, done = resident(), [0], threading.Event()

    def watch():
        while not done.wait(0.002):
            peak.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    getattr(kdkit.losses, options.loss)(student, teacher).backward()
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return (max(peak) - before) / (student.numel() * student.element_size()), seconds


def resident():
    """Bytes of memory that this process holds now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
