"""``python -m kdkit caches``: what is kept to save time, and its removal."""

import argparse

import kdkit
from kdkit.cli.options import Commands, add_command, add_runs, check


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "caches", run, "what is kept to save time, and its removal")
    add_runs(parser, "folder in which teachers' answers are kept")
    parser.add_argument("--remove", action="store_true", help="delete all that is listed")


def run(options: argparse.Namespace) -> int:
    """List the caches: teachers' answers in RUNS, and decoded images in the user's cache folder.

    What is removed is computed again when it is needed.
    """
    check(options)
    cache_files, decoding, files = kdkit.training.cache_files, kdkit.data.decoding, kdkit.data.files
    found = [(kept.path, f"answers on {kept.of}", cache_files.remove) for kept in cache_files.kept(options.runs)]
    found += [(path, "decoded images", decoding.remove_decoded) for path in decoding.decoded()]
    for path, what, remove in found:
        size = files.in_words(path.stat().st_size)
        if options.remove:
            remove(path)
        print(f"{'removed ' * options.remove}{path}: {size}, {what}")
    if not found:
        print(f"no answers of teachers are kept in {options.runs}, no decoded images in {decoding.cache_folder()}")
    return 0
