"""What made a result, and the result as JSON: for cards, reports and the names of files."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import kdkit
from kdkit.measure import machine

if TYPE_CHECKING:
    from torch.nn import Module

    from kdkit.data import Splits, TextSplits

NO_SETTINGS = ("run", "command", "typed", "json", "runs", "out", "download")  # of the options: they change no result


def settings(options: argparse.Namespace) -> dict[str, object]:
    """The options on which the result depends."""
    return {name: value for name, value in vars(options).items() if name not in NO_SETTINGS}


def made(options: argparse.Namespace) -> dict:
    """The command, its settings, and the versions that made a result."""
    return {
        "command": without_home(" ".join(["python -m kdkit", *options.typed])),
        "settings": {name: without_home(value) for name, value in settings(options).items()},
        "versions": machine.versions(),
    }


def origin(data: Splits, options: argparse.Namespace) -> dict:
    """What made a result of images: the images, and what ``made`` says."""
    about = {"data": data.name, "source": without_home(data.source), "classes": list(data.train.classes)}
    about["size"] = list(data.train.images.shape[1:])  # channels, height, width
    about |= {"train_fingerprint": data.train.fingerprint, "test_fingerprint": data.test.fingerprint}
    return {**about, **made(options)}


def digest(options: argparse.Namespace) -> str:
    """The settings as part of a file's name. How many seeds there are is no matter: each has files of its own."""
    told = {name: str(value) for name, value in settings(options).items() if name != "seeds"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]


def fingerprints(teacher: Module, data: Splits | TextSplits) -> str:
    """A teacher and its images, or texts, as part of a file's name: one trained anew, or others, have their own."""
    return f"{kdkit.models.fingerprint(teacher)[:8]}-{data.train.fingerprint[:8]}"


def write(options: argparse.Namespace, result: dict, began: float) -> None:
    """Write ``result`` to the file of ``--json``, if there is one, with seconds since ``began`` and peak memory.

    ``began``: what ``time.perf_counter`` gave; a result that has seconds keeps its own. Raises ``OSError`` where the
    disk is in the way.
    """
    if options.json is None:
        return
    spent = {"seconds": round(time.perf_counter() - began, 1), "peak_memory_mb": machine.peak_memory_mb()}
    with kdkit.data.files.replacing(options.json) as temporary:
        temporary.write_text(json.dumps({**spent, **result}, indent=1) + "\n", encoding="utf-8")


def without_home(value: object) -> object:
    """Text without the user's home folder: results are made to be passed on, whose machine they come from or not.

    All of it can be written: bytes in a name that are no UTF-8 become ``\\xff``. Of a list, each text; what is no text
    stays as it is.
    """
    if isinstance(value, list):
        return [without_home(each) for each in value]
    if not isinstance(value, str):
        return value
    text, home = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), Path.home()
    return text if home == Path(home.anchor) else text.replace(f"{home}{os.sep}", f"~{os.sep}")
