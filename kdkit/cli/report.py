"""``python -m kdkit report``: what ``distill`` found, as a page to show around and a model card."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import kdkit
from kdkit.cli.options import Commands, add_command, check

OURS = {".html": '<meta name="generator" content="kdkit', ".md": "library_name: kdkit"}  # in each file made here


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "report", run, "what distill found, as a page to show around and a model card")
    parser.add_argument("result", help="what distill wrote: --json's file, or the student, a file or folder")
    exports = "what export --json wrote about that student: its files stand in the report too"
    parser.add_argument("--exports", metavar="FILE", help=exports)
    parser.add_argument("--out", metavar="NAME", help="of the two files, without ending (default: that of RESULT)")


def run(options: argparse.Namespace) -> int:
    """Write one HTML page that needs no other file, and a model card in Hugging Face's format (Markdown).

    Both say: data, teacher, students and their paired intervals, shares by class, mistakes that changed, calibration,
    what a diagnosis found wrong, cost and latency, the command, versions, limits. All of it stands in RESULT: nothing
    is trained or measured again. Raises ``ValueError`` for an ``--out`` without a name.
    """
    check(options)
    from kdkit.export import report  # matplotlib takes a second

    source = kdkit.data.files.expanded(options.result)
    result = card(source) if source.suffix == ".safetensors" or source.is_dir() else read(source)
    exports = read(kdkit.data.files.expanded(options.exports)) if options.exports is not None else None
    if options.out and options.out.name in ("", ".."):
        raise ValueError(f"--out {options.out} has no name: give the beginning of one, such as report or runs/report.")
    out = options.out or (source if source.is_dir() else source.with_suffix(""))
    out = out.resolve() if out.name in ("", "..") else out  # a folder that is called . has a name all the same
    written = {".html": report.page(result, exports), ".md": report.model_card(result, exports)}
    for ending, text in written.items():
        place = out.with_name(f"{out.name}{ending}")
        check_place(place, OURS[ending])
        with kdkit.data.files.replacing(place) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"written: {place} ({kdkit.data.files.in_words(len(text.encode()))})")
    return 0


def card(path: Path) -> dict:
    """The card of the student at ``path``, a file or, of one that reads texts, a folder. Raises as those of the zoo."""
    from kdkit.zoo import for_texts

    return for_texts.read_card(path) if path.is_dir() else kdkit.zoo.read_card(path)


def read(path: Path) -> dict:
    """The result in the file ``path``. Raises ``FileNotFoundError`` and ``ValueError`` for what is none."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is no file: give what distill --json wrote, or a student's .safetensors file or folder."
        )
    with kdkit.data.files.explained(path, "read"):
        content = path.read_bytes()
    try:
        result = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: give what distill --json wrote.") from error
    if not isinstance(result, dict):
        raise ValueError(f"{path} holds no result of a command: give what distill --json wrote.")
    return result


def check_place(path: Path, mark: str) -> None:
    """``ValueError`` unless a report may be written to ``path``: nothing is there, or a report, with ``mark``."""
    if not path.exists():
        return
    with kdkit.data.files.explained(path, "read"):
        ours = mark.encode() in path.read_bytes()
    if not ours:
        raise ValueError(f"{path} is there already, and no report: it is not overwritten. Give --out another name.")
