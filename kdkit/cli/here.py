"""A command in a notebook: in this process, where what it needs is imported already."""

import os
from pathlib import Path

from kdkit.cli.main import main


def command(line: str, place: str | Path) -> int:
    """What ``python -m kdkit`` does with the words of ``line`` in the folder ``place``; its exit status."""
    print(f"$ python -m kdkit {line}")
    before = os.getcwd()
    os.chdir(place)
    try:
        return main(line.split())
    finally:
        os.chdir(before)
