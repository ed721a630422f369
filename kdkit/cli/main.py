"""The parser of ``python -m kdkit``, and what becomes of an error: a sentence and an exit status.

Nothing here or at the top of a command's file imports torch, so ``--help`` and a slip of the finger are answered at
once: the packages of kdkit load when a command uses them.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence

import kdkit
from kdkit.cli import (
    caches,
    classroom,
    distill,
    doctor,
    evaluate,
    experiments,
    export,
    look,
    report,
    several,
    train_bert,
    train_gpt,
    train_teacher,
)

ABOUT = """\
Knowledge distillation from the command line.

  python -m kdkit doctor                          is everything there?
  python -m kdkit look FOLDER                     your own images or texts, before anything is trained on them
  python -m kdkit train-teacher --data things     a teacher in a minute, no download
  python -m kdkit distill --data things           students, alone and distilled, side by side
  python -m kdkit evaluate things-teacher --data things
  python -m kdkit export things-teacher           a file that runs without kdkit and torch
  python -m kdkit report RUN.json                 what distill found, as a page to show around and a model card
  python -m kdkit experiments things              the fair comparison of notebook 04: three ways to teach, several seeds
  python -m kdkit train-bert                      a small BERT on Python's documentation, the teacher of notebook 06
  python -m kdkit train-gpt                       a small GPT that writes sums (or English), for notebook 09
  python -m kdkit class CODES.txt                 what a class has solved, from the codes of check.progress()
  python -m kdkit caches                          what is kept to save time, and how large it is

With --data FOLDER the same is done on your own images, one subfolder a class (distill and evaluate also take texts,
.txt); with --data cifar10, or `experiments cifar`, on CIFAR-10. Whatever is stopped (Ctrl-C, a crash) goes on where it
was when the same command is given again.
`python -m kdkit COMMAND --help` says more.
"""

COMMANDS = (
    doctor,
    look,
    train_teacher,
    distill,
    evaluate,
    export,
    report,
    experiments,
    train_bert,
    train_gpt,
    classroom,
    caches,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, typed as ``arguments`` (None: as ``sys.argv`` has it), and return its exit status.

    0: all is well; 1: it could not be done, or the result is bad, and a sentence says why; 130: stopped by Ctrl-C.
    Raises ``SystemExit`` for ``--help`` (0) and for what is no command (2), as argparse does.
    """
    for stream in sys.stdout, sys.stderr:  # a name may hold what a terminal cannot show: that is no reason to stop
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = parser().parse_args(arguments)
    options.typed = sys.argv[1:] if arguments is None else arguments
    try:
        with warnings.catch_warnings(), several.as_one(options.command):
            warnings.showwarning = lambda message, *where, **more: print(message, file=sys.stderr)  # a sentence alone
            return options.run(options)
    except (ValueError, OSError) as error:  # mistakes in what was typed; anything else is ours, with traceback
        who = f"process {several.rank()}: " if several.rank() else ""
        print(f"kdkit {options.command}: {who}{kdkit.data.files.told(error)}", file=sys.stderr)
        return 1
    except ImportError as error:
        advice = ": run python -m kdkit doctor" if error.name else ""  # without a name it is the kit's own sentence
        print(f"kdkit {options.command}: {error}{advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"\n{str(stop) or 'Stopped.'}", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each adds its own options."""
    whole = argparse.ArgumentParser(
        prog="python -m kdkit", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--version", action="version", version=f"kdkit {kdkit.__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return whole
