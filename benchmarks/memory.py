"""What keeping freed memory is worth: seconds per epoch with and without, taking turns within one run.

python benchmarks/memory.py --width 8 --depth 6
"""

import argparse
import statistics

import kdkit
from kdkit import memory, models, training
from kdkit.data import things


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    splits = things.splits(500)
    keep_freed = memory.keep_freed
    seconds = {True: [], False: []}
    for round_number in range(2 * options.rounds + 2):
        keep = round_number % 2 == 0
        training.memory.keep_freed = lambda keep=keep: keep_freed(keep)  # what train asks for, in this round
        student = models.student(options.width, options.depth)
        run = kdkit.train(student, splits, epochs=1, progress=False)
        if round_number >= 2:
            seconds[keep].append(run.seconds)
    ratios = sorted(kept / given for kept, given in zip(seconds[True], seconds[False], strict=True))
    print(f"student {options.width}x{options.depth}: kept {statistics.median(seconds[True]):.2f} s/epoch,", end=" ")
    print(f"given back {statistics.median(seconds[False]):.2f}; ratio {statistics.median(ratios):.3f}", end=" ")
    print(f"({', '.join(f'{ratio:.3f}' for ratio in ratios)})")


if __name__ == "__main__":
    main()
