"""``python -m kdkit experiments``: three ways to teach a student, fairly compared."""

import argparse
import json

import kdkit
from kdkit.cli import reports, teachers
from kdkit.cli.options import Commands, add_command, add_computing, add_download, add_runs, check, load_data

DATA = {"cifar": "cifar10", "things": "things"}  # of each experiment


def add(commands: Commands) -> None:
    """Declare the command and its options."""
    parser = add_command(commands, "experiments", run, "three ways to teach a student, fairly compared")
    add_download(parser)
    add_computing(parser)
    parser.add_argument("name", choices=sorted(DATA), help="which experiment")
    parser.add_argument("--teacher", help="a .safetensors file or a name that ships with the kit")
    parser.add_argument("--seeds", type=int, default=5, help="how many students of each kind")
    add_runs(parser, "folder for caches and checkpoints")


def run(options: argparse.Namespace) -> int:
    """Labels, the teacher's argmax, its soft targets: train students of each kind, tuned alike, and compare them.

    The result (--json) is written after each student; what stands in it already is not trained again.
    """
    check(options)
    options.data = DATA[options.name]
    data = load_data(options)
    teacher = teachers.find(options, data).network
    folder = options.runs / f"experiments-{reports.fingerprints(teacher, data)}"
    path = options.json or folder / f"{options.name}.json"
    print(*kdkit.data.describe(data), sep="\n", flush=True)
    keywords = {"seeds": options.seeds, "folder": folder, "about": reports.origin(data, options), "path": path}
    kdkit.studies.run(options.name, data, teacher, say=say, **keywords)
    result = json.loads(path.read_text(encoding="utf-8"))
    print(*kdkit.studies.verdicts(result), kdkit.studies.CAVEAT, f"kept in {path}", sep="\n")
    return 0


def say(row: dict) -> None:
    """Print one line about a student that has been trained."""
    if row.get("diverged"):
        measured = "diverged"
    elif row.get("accuracy") is None:
        measured = f"tuning, validation {row['val_accuracy']:.2%}"
    else:
        measured = f"test {row['accuracy']:.2%}"
    budget = "" if row["budget"] is None else f" of {row['budget']:.0%}"
    name = f"{row['setting']} {row['student']} {row['arm']}{budget}, seed {row['seed']}, lr {row['lr']:g}"
    print(f"{name}: {measured}, {row['seconds']:.0f} s", flush=True)
